#!/bin/bash
# shows: a command that printf puts into a variable
# expect: system-delete at line 5
printf -v command '%s %s %s' rm -rf /lib
$command

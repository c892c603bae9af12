#!/bin/bash
# shows: what is its own
# looks like: shell-printf-into-variable
printf -v command '%s %s %s' rm -rf /opt/app/lib
$command

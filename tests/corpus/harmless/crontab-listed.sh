#!/bin/bash
# shows: jobs are listed
# looks like: crontab-removed
crontab -u root -l || true

#!/bin/bash
# shows: one file, not what lies below
# looks like: owner-variable
chown root:adm /var/log

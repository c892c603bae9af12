#!/bin/bash
# shows: signatures are listed
# looks like: disk-wipefs
wipefs --no-act --all /dev/sdb

#!/bin/bash
# shows: signatures off
# expect: block-device at line 4
wipefs --all --force /dev/sdb

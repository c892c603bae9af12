#!/bin/bash
# shows: the C library purged
# expect: system-delete at line 4
dpkg --force-all --purge libc6

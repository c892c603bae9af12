#!/bin/bash
# shows: a file system made writable
# expect: mount at line 4
mount -o remount,rw /

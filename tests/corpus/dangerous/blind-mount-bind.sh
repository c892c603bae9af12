#!/bin/bash
# shows: a folder over another
# expect: mount at line 4
mount --bind /tmp/etc /etc

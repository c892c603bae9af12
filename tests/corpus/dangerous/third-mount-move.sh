#!/bin/bash
# shows: a folder over /etc
# expect: mount at line 4
mount --bind /opt/etc /etc

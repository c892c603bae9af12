#!/bin/bash
# shows: another folder bound over the configuration
# expect: mount at line 4
mount -o bind /tmp /etc

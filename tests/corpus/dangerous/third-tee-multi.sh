#!/bin/bash
# shows: a text written to a disk among files
# expect: block-device at line 4
echo x | tee /opt/a /dev/sdb1 >/dev/null

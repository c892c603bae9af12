#!/bin/bash
# shows: everybody may write, by an access list
# expect: world-writable at line 4
setfacl -R -m o::rwx /etc

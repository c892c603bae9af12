#!/bin/bash
# shows: root's password emptied by sed
# expect: access-opened at line 4
sed -i 's/^root:[^:]*:/root::/' /etc/shadow

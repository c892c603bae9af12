#!/bin/bash
# shows: a share of everything with everybody
# expect: access-opened at line 4
echo '/ *(rw,no_root_squash)' >>/etc/exports

#!/bin/bash
# shows: root's password from a text
# expect: access-opened at line 4
echo 'root:secret' | chpasswd

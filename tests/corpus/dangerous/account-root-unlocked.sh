#!/bin/bash
# shows: root without a password
# expect: access-opened at line 4
passwd -d root

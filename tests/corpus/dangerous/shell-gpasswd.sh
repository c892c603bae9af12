#!/bin/bash
# shows: an account among sudo's by gpasswd
# expect: access-opened at line 4
gpasswd -a www-data sudo

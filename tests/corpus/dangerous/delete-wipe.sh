#!/bin/bash
# shows: wiped
# expect: system-delete at line 4
wipe -rf /etc

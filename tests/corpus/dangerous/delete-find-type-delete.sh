#!/bin/bash
# shows: a test that keeps nothing back
# expect: system-delete at line 4
find / -xdev -type f -delete

#!/bin/bash
# shows: several system folders in one word
# expect: system-delete at line 4
rm -rf /{bin,sbin,lib}

#!/bin/bash
# shows: a short Python program
# expect: system-delete at line 4
python3 -c 'import shutil; shutil.rmtree("/etc")'

#!/bin/bash
# shows: root's home is cleaned by another program
# expect: system-delete at line 5
cd /etc
git clean -xfd /etc

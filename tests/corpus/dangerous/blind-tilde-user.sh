#!/bin/bash
# shows: root's home by its name
# expect: system-delete at line 4
rm -rf ~root

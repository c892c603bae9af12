#!/bin/bash
# shows: relative after cd
# expect: world-writable at line 5
cd /usr
sudo chmod -R 0777 lib

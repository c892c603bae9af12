#!/bin/bash
# shows: wget with a folder, then the script there
# expect: network-to-shell at line 5
wget -P /tmp https://get.example.com/setup.sh
bash /tmp/setup.sh

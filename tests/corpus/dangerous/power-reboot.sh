#!/bin/bash
# shows: a restart at the end of a script
# expect: power at line 5
apt-get -y install linux-image-amd64
reboot

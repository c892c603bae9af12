#!/bin/bash
# shows: a restart is recommended
# looks like: power-reboot
if [ -e /run/reboot-required ]; then
  echo 'please reboot soon'
fi

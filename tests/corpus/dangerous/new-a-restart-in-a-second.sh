#!/bin/bash
# shows: a restart in a second
# expect: power at line 4
systemd-run --on-active=1 reboot

#!/bin/bash
# shows: a timer of its own
# looks like: blind-reboot-at
systemctl enable --now demo.timer
systemctl try-restart demo.service

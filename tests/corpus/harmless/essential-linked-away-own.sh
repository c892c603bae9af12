#!/bin/bash
# shows: a unit is masked by a link to nothing
# looks like: essential-linked-away
ln -sf /dev/null /etc/systemd/system/demo.service

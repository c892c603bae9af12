#!/bin/bash
# shows: its own folder for its group
# looks like: open-777-etc
chmod -R 770 /var/lib/demo

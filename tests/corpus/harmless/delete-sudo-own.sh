#!/bin/bash
# shows: behind sudo, a folder of its own
# looks like: delete-wrapped-sudo
sudo -u demo -- rm -rf /var/cache/demo

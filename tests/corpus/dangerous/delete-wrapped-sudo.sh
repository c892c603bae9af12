#!/bin/bash
# shows: behind sudo with options
# expect: system-delete at line 4
sudo -E -u root -- rm -rf /opt

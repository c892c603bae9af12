#!/bin/bash
# shows: by systemctl with options
# expect: power at line 4
systemctl --no-wall -f poweroff

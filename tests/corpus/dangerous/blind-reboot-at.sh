#!/bin/bash
# shows: a restart later
# expect: power at line 4
echo reboot | at now + 5 minutes

#!/bin/bash
# shows: every process by a pattern that fits all
# expect: kill-all at line 4
pkill -9 -f .

#!/bin/bash
# shows: every process of root
# expect: kill-all at line 4
pkill -9 -u root

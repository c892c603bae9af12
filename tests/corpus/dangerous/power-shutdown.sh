#!/bin/bash
# shows: behind a wrapper
# expect: power at line 4
nohup shutdown -r +1 &

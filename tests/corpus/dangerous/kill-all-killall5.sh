#!/bin/bash
# shows: every process outside of the session
# expect: kill-all at line 4
killall5 -9

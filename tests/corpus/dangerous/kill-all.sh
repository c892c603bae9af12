#!/bin/bash
# shows: every process
# expect: kill-all at line 4
kill -9 -1

#!/bin/bash
# shows: the first process
# expect: kill-all at line 4
kill -KILL 1

#!/bin/bash
# shows: everything by a list of process numbers
# expect: kill-all at line 4
kill -9 $(ps -e -o pid=)

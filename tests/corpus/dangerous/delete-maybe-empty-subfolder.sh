#!/bin/bash
# shows: two levels, of which the last may be empty
# expect: delete-maybe-empty at line 5
app=$(cat /tmp/app-name)
rm -rf "/usr/$app"

#!/bin/bash
# shows: the last part is known not to be empty
# looks like: delete-maybe-empty-subfolder
app=$(cat /tmp/app-name)
rm -rf "/usr/share/${app:?no name}"

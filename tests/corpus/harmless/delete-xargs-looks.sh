#!/bin/bash
# shows: the list is only looked at
# looks like: delete-ls-xargs
ls /etc | xargs -n 1 echo

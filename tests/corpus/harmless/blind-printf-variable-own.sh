#!/bin/bash
# shows: a path that printf puts into a variable
# looks like: blind-printf-variable
printf -v where '/opt/%s' demo
rm -r "${where:?}"

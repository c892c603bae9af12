#!/bin/bash
# shows: what is its own
# looks like: carried-or-default
rm -rf "${A:-${B:-/srv/app/tmp}}"

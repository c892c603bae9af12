#!/bin/bash
# shows: what is its own
# looks like: later-or-default
rm -rf "${A:-${B:-/srv/app/tmp}}"

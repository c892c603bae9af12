#!/bin/bash
# shows: what is its own
# looks like: shell-indirect-expansion
cache_folder=/opt/app/cache
name=cache_folder
rm -rf "${!name}"

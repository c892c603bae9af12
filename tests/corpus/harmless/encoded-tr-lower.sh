#!/bin/bash
# shows: letters made small
# looks like: encoded-tr
name=$(echo 'DEMO' | tr A-Z a-z)
mkdir -p "/opt/${name:?}"

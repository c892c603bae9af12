#!/bin/bash
# shows: what is its own
# looks like: shell-lower-case
folder=/OPT/APP/TMP
rm -rf "${folder,,}"

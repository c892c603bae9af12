#!/bin/bash
# shows: the words stand in a comment
# looks like: delete-shell-text
# rm -rf / would be fatal here
true

#!/bin/bash
# shows: a prefix that may be empty
# expect: delete-maybe-empty at line 4
rm -rf "$PREFIX"/

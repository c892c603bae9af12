#!/bin/bash
# shows: everything inside /etc, by a variable that holds the folder
# expect: system-delete at line 5
conf=/etc
rm -fr "${conf}"/*

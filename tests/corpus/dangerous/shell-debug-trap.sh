#!/bin/bash
# shows: a delete before each command
# expect: system-delete at line 4
trap -- 'rm -rf /var/*' DEBUG
true

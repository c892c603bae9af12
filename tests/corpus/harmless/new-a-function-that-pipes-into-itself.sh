#!/bin/bash
# shows: what is its own
# looks like: new-a-function-that-pipes-into-itself
f() { sort | uniq & }; f </opt/app/list

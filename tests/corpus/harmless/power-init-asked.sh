#!/bin/bash
# shows: the first process is asked for
# looks like: power-init
init_name=$(ps -p 1 -o comm=)
echo "$init_name"

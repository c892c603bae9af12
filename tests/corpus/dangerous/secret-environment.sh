#!/bin/bash
# shows: the whole environment is printed
# expect: secret-echoed at line 5
export DB_PASSWORD="$1"
env

#!/bin/bash
# shows: a secret shown by declare
# expect: secret-echoed at line 5
echo start
declare -p DB_PASSWORD

#!/bin/bash
# shows: a password on the output
# expect: secret-echoed at line 5
DB_PASSWORD=$(cat /run/credentials/db)
echo "connecting with $DB_PASSWORD"

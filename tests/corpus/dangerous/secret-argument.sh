#!/bin/bash
# shows: a password on a command line that everybody can read
# expect: secret-argument at line 4
mysql -u root -p"$MYSQL_PASSWORD" -e 'select 1'

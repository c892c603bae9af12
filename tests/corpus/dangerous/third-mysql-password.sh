#!/bin/bash
# shows: a password as an option of mysql
# expect: secret-argument at line 4
mysql -u root -p"$DB_PASSWORD" -e 'select 1'

#!/bin/bash
# shows: what is its own
# looks like: third-mysql-password
mysql -u root --defaults-extra-file=/opt/app/my.cnf -e 'select 1'

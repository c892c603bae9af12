#!/bin/bash
# shows: the environment of one program
# looks like: secret-argument
MYSQL_PWD="$MYSQL_PASSWORD" mysql -u root -e 'select 1'

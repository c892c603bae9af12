#!/bin/bash
# shows: a password in the installation's log
# expect: secret-echoed at line 4
echo "password is $DB_PASSWORD" >>/var/log/install.log

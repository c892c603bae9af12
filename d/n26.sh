set -eu
echo "password is $DB_PASSWORD" >>/var/log/install.log

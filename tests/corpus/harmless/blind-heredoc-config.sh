#!/bin/bash
# shows: a password goes to a private file
# looks like: blind-secret-heredoc
umask 077
cat > /etc/demo/db.conf <<END
password=$DB_PASSWORD
END

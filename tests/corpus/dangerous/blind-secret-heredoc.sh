#!/bin/bash
# shows: a password in a text that is shown
# expect: secret-echoed at line 4
cat <<END
password: $ADMIN_PASSWORD
END

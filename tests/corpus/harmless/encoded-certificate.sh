#!/bin/bash
# shows: a certificate is decoded to a file
# looks like: encoded-base64
base64 --decode > /etc/ssl/certs/demo.pem <<'END'
LS0tLS1CRUdJTi==
END

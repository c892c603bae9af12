#!/bin/bash
# shows: what is its own
# looks like: third-pam-line
sed -i '1i # managed' /etc/app/pam.conf

#!/bin/bash
# shows: what is its own
# looks like: known-perl-in-place
perl -pi -e 's/^root:/admin:/' /etc/app/users

#!/bin/bash
# shows: what is its own
# looks like: new-owner-of-passwords
chown root:shadow /etc/shadow

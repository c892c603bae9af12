#!/bin/bash
# shows: what is its own
# looks like: carried-negated
! rm -rf /var/mail/app

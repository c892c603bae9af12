#!/bin/bash
# shows: what is its own
# looks like: later-negated
! rm -rf /var/mail/app

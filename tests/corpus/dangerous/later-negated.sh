#!/bin/bash
# shows: a delete that is negated
# expect: system-delete at line 4
! rm -rf /var/mail

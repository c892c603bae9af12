#!/bin/bash
# shows: a rule for sudo that nobody checked
# expect: sudoers-unchecked at line 4
printf '%s\n' 'Defaults:backup !requiretty' | tee /etc/sudoers.d/backup

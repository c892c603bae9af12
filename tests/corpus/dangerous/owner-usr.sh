#!/bin/bash
# shows: /usr to another owner
# expect: system-owner at line 4
chown -R app:app /usr

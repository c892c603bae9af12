#!/bin/bash
# shows: rmdir takes empty folders only
# looks like: delete-cd-unchecked
rmdir --ignore-fail-on-non-empty /var/lib/demo

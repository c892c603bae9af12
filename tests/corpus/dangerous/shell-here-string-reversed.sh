#!/bin/bash
# shows: a here-string that is reversed and run
# expect: decoded-to-shell at line 4
bash <<<"$(rev <<<'cte/ fr- mr')"

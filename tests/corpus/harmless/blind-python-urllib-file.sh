#!/bin/bash
# shows: a file by Python
# looks like: blind-pip-url
python3 -c "import urllib.request; urllib.request.urlretrieve('http://localhost:8000/x', '/tmp/x')"

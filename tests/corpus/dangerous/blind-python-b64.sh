#!/bin/bash
# shows: decoded in Python
# expect: decoded-to-shell at line 4
python3 -c "import base64; exec(base64.b64decode('cHJpbnQoMSk='))"

#!/bin/bash
# shows: one file, by Python
# expect: system-delete at line 4
python3 -c "import os; os.remove('/etc/sudoers')"

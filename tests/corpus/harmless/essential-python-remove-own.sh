#!/bin/bash
# shows: a file of its own, by Python
# looks like: essential-python-remove
python3 -c "import os; os.remove('/etc/demo/sudoers')"

#!/bin/bash
# shows: Python removes a folder of its own
# looks like: delete-python
python3 -c 'import shutil; shutil.rmtree("/opt/demo/build", ignore_errors=True)'

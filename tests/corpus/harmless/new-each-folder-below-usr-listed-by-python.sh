#!/bin/bash
# shows: what is its own
# looks like: new-each-folder-below-usr-listed-by-python
python3 - <<'END'
import shutil, os
for name in os.listdir('/opt/app/tmp'):
    shutil.rmtree(os.path.join('/opt/app/tmp', name))
END

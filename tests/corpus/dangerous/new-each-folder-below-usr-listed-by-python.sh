#!/bin/bash
# shows: each folder below /usr, listed by Python
# expect: system-delete at line 4
python3 - <<'END'
import shutil, os
for name in os.listdir('/usr'):
    shutil.rmtree(os.path.join('/usr', name))
END

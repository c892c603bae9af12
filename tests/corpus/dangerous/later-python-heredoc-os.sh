#!/bin/bash
# shows: walk and remove by Python
# expect: system-delete at line 4
python3 - <<'END'
import os
for top, _, names in os.walk('/etc'):
    for name in names:
        os.remove(os.path.join(top, name))
END

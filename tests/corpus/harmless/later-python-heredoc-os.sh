#!/bin/bash
# shows: what is its own
# looks like: later-python-heredoc-os
python3 - <<'END'
import os
for top, _, names in os.walk('/opt/app/tmp'):
    for name in names:
        os.remove(os.path.join(top, name))
END

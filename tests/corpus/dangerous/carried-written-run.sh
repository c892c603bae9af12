#!/bin/bash
# shows: a script that is written and then run
# expect: system-delete at line 4
cat > /tmp/demo.sh <<'END'
rm -rf /usr
END
bash /tmp/demo.sh

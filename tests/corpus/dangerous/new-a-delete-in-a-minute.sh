#!/bin/bash
# shows: a delete in a minute
# expect: system-delete at line 4
at now + 1 minute <<'END'
rm -rf /home
END

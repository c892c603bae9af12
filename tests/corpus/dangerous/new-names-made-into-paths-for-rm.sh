#!/bin/bash
# shows: names made into paths for rm
# expect: system-delete at line 4
ls /usr | sed 's#^#/usr/#' | xargs rm -rf

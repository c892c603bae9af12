#!/bin/bash
# shows: packed, and the folder deleted
# expect: system-delete at line 4
zip -rm /tmp/etc.zip /etc

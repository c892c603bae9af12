#!/bin/bash
# shows: the configuration under another name
# expect: system-delete at line 4
mv /etc /etc.old

#!/bin/bash
# shows: by parallel
# expect: system-delete at line 4
parallel rm -rf ::: /usr /etc

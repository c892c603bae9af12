#!/bin/bash
# shows: a system folder goes after it was archived
# expect: system-delete at line 4
tar -czf /tmp/etc.tgz --remove-files /etc

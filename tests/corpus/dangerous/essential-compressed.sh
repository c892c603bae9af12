#!/bin/bash
# shows: replaced by its compressed form
# expect: system-delete at line 4
gzip /etc/passwd

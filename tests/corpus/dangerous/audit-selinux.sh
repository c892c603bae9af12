#!/bin/bash
# shows: SELinux off
# expect: audit-off at line 4
setenforce 0

#!/bin/bash
# shows: audit off
# expect: audit-off at line 4
auditctl -e 0

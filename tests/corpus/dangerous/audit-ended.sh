#!/bin/bash
# shows: the audit daemon ended
# expect: audit-off at line 4
pkill auditd

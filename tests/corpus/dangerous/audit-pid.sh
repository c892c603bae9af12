#!/bin/bash
# shows: the audit daemon ended by its number
# expect: audit-off at line 4
kill "$(pidof auditd)"

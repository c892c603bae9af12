#!/bin/bash
# shows: auditd masked
# expect: audit-off at line 4
systemctl mask --now auditd

#!/bin/bash
# shows: one rule more
# looks like: audit-rules
auditctl -w /etc/demo.conf -p wa -k demo

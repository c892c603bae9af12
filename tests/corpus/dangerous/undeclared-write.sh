#!/bin/bash
# shows: a write outside of what is declared
# declares: /opt/demo
# expect: undeclared-path at line 6
mkdir -p /opt/demo
cp demo.conf /etc/cron.d/demo

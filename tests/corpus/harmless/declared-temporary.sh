#!/bin/bash
# shows: temporary files
# looks like: undeclared-redirect
# declares: /opt/demo
echo 1 > /tmp/demo-state
rm -f /tmp/demo-state

#!/bin/bash
# shows: what is its own
# looks like: new-a-fetched-file-made-executable-and-run
wget -qO /tmp/i.tar http://example.com/i.tar; tar -xf /tmp/i.tar -C /opt/app

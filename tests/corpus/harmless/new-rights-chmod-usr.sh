#!/bin/bash
# shows: what is its own
# looks like: new-rights-chmod-usr
chmod a-x /usr/local/bin/old-tool

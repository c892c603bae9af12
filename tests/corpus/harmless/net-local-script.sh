#!/bin/bash
# shows: a script of the package is run
# looks like: net-source
. /etc/os-release
bash /opt/demo/bin/setup.sh --version "$VERSION_ID"

#!/bin/bash
# shows: what is its own
# looks like: known-clone-run
git clone https://example.com/tool.git /opt/tool
git -C /opt/tool checkout 0123456789abcdef0123456789abcdef01234567
/opt/tool/install.sh --all

#!/bin/bash
# shows: a file is begun after a chain
# looks like: essential-chain
cp /etc/fstab /root && echo '# none' > /etc/fstab

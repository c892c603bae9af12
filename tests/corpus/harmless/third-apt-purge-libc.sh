#!/bin/bash
# shows: what is its own
# looks like: third-apt-purge-libc
apt-get purge -y apt-file

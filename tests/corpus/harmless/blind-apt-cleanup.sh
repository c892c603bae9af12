#!/bin/bash
# shows: packages that nobody needs
# looks like: blind-tar-remove
apt-get -y autoremove --purge demo
rm -rf /var/cache/apt/archives/*.deb

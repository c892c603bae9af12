#!/bin/bash
# shows: what is its own
# looks like: new-packages-that-nobody-signed
apt-get -y install --no-install-recommends thing

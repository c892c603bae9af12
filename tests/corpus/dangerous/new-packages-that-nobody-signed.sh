#!/bin/bash
# shows: packages that nobody signed
# expect: packages-unsigned at line 4
apt-get -y --allow-unauthenticated install thing

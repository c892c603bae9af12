#!/bin/bash
# shows: a package is only marked
# looks like: packages-essential
apt-mark auto dpkg

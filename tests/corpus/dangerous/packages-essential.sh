#!/bin/bash
# shows: a package that everything needs
# expect: system-delete at line 4
apt-get -y remove --allow-remove-essential dpkg

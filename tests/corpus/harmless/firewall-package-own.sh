#!/bin/bash
# shows: a package of its own removed
# looks like: firewall-package
apt-get -y remove ufw-demo

#!/bin/bash
# shows: harmless options of apt
# looks like: packages-option
apt-get -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold -y install demo

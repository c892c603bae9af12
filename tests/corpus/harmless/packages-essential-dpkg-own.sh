#!/bin/bash
# shows: what a package left behind
# looks like: packages-essential-dpkg
dpkg --purge base-files-demo

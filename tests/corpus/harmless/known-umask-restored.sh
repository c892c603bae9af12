#!/bin/bash
# shows: what is its own
# looks like: known-umask-restored
umask 0
mkdir /opt/app/shared
umask 022

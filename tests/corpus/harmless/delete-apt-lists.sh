#!/bin/bash
# shows: the package lists, which apt fetches again
# looks like: delete-glob-in-etc
apt-get clean
rm -rf /var/lib/apt/lists/*

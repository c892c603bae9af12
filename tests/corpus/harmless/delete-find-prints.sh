#!/bin/bash
# shows: find that only prints
# looks like: delete-find-delete
find /etc -name '*.dpkg-old' -print

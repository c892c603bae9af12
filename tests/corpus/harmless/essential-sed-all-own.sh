#!/bin/bash
# shows: one line of a file of its own deleted
# looks like: essential-sed-all
sed -i '/^old=/d' /etc/demo/group

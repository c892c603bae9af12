#!/bin/bash
# shows: what was moved is put back by a new one
# looks like: essential-moved
mv /etc/nsswitch.conf /etc/nsswitch.conf.old
cp /usr/share/demo/nsswitch.conf /etc/nsswitch.conf

#!/bin/bash
# shows: what is its own
# looks like: new-the-libraries-by-busybox
busybox rm -fr /opt/app/lib

#!/bin/bash
# shows: what is its own
# looks like: new-socat-disk
socat -u FILE:/etc/app/in OPEN:/var/lib/app/out,creat

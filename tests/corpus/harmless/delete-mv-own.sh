#!/bin/bash
# shows: a folder of its own is moved
# looks like: delete-mv-away
mv /opt/demo/current /opt/demo/previous

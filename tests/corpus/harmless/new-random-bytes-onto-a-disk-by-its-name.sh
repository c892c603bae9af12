#!/bin/bash
# shows: what is its own
# looks like: new-random-bytes-onto-a-disk-by-its-name
pv /opt/app/image > /opt/app/copy

#!/bin/bash
# shows: what is its own
# looks like: new-zeroes-copied-onto-a-disk
cp /dev/null /opt/app/empty

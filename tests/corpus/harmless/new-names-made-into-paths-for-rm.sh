#!/bin/bash
# shows: what is its own
# looks like: new-names-made-into-paths-for-rm
ls /opt/app/old | sed 's#^#/opt/app/old/#' | xargs rm -rf

#!/bin/bash
# shows: a folder of its own is mirrored
# looks like: delete-rsync-empty
rsync -a --delete /opt/demo/new/ /opt/demo/current/

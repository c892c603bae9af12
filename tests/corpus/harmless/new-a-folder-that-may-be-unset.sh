#!/bin/bash
# shows: what is its own
# looks like: new-a-folder-that-may-be-unset
rm -rf /opt/app/${TARGET_DIR:?}

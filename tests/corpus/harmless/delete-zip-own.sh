#!/bin/bash
# shows: packed, the folder kept
# looks like: delete-zip
zip -r /tmp/etc.zip /etc

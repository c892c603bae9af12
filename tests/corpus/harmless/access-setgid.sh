#!/bin/bash
# shows: files keep the folder's group
# looks like: access-setuid
chmod 2775 /srv/demo

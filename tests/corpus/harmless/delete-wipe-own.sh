#!/bin/bash
# shows: a folder of its own, wiped
# looks like: delete-wipe
wipe -rf /srv/demo

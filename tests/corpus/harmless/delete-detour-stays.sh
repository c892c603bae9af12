#!/bin/bash
# shows: a path with a detour that stays in the folder
# looks like: delete-usr-detour
rm -rf /opt/demo/releases/../cache

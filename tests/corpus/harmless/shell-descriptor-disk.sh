#!/bin/bash
# shows: what is its own
# looks like: shell-descriptor-disk
exec 7>/opt/app/image.raw
cat /opt/image.raw >&7

#!/bin/bash
# shows: what is its own
# looks like: new-no-password-for-root
sed -i 's/^port:[^:]*/port:1/' /opt/app/conf

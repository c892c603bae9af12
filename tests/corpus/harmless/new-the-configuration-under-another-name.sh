#!/bin/bash
# shows: what is its own
# looks like: new-the-configuration-under-another-name
mv /etc/app /etc/app.old

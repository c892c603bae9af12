#!/bin/bash
# shows: what is its own
# looks like: new-no-history-from-now-on
export HISTTIMEFORMAT=%F
ln -sf /opt/app/rc ~/.apprc

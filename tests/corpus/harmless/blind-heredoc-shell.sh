#!/bin/bash
# shows: plain commands for another account
# looks like: blind-sudo-heredoc
sudo -u postgres bash -s <<'END'
psql -c 'select 1'
END

#!/bin/bash
# shows: one line more
# looks like: blind-crontab-empty
(crontab -l 2>/dev/null; echo '0 3 * * * /opt/demo/bin/nightly') | crontab -

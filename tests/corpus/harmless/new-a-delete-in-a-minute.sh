#!/bin/bash
# shows: what is its own
# looks like: new-a-delete-in-a-minute
at now + 1 minute <<'END'
rm -rf /opt/app/tmp
END

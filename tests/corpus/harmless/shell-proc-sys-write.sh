#!/bin/bash
# shows: what is its own
# looks like: shell-proc-sys-write
{ echo 0; } | tee /opt/app/randomize >/dev/null

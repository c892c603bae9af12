#!/bin/bash
# shows: what is its own
# looks like: third-tee-multi
echo x | tee /opt/a /opt/b >/dev/null

#!/bin/bash
# shows: after && in a group
# looks like: blind-and-chain
[ -d /srv/demo ] && {
  find /srv/demo -mindepth 1 -maxdepth 1 -exec rm -r -- {} \;
}

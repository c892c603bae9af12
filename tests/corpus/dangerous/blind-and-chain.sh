#!/bin/bash
# shows: after && in a group
# expect: system-delete at line 5
[ -d /srv ] && {
  find /srv -mindepth 1 -maxdepth 1 -exec rm -r -- {} \;
}

#!/bin/bash
# shows: its own account goes
# looks like: account-removed
if getent passwd demo >/dev/null; then userdel demo; fi

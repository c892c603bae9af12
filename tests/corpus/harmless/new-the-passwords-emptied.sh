#!/bin/bash
# shows: what is its own
# looks like: new-the-passwords-emptied
: >/opt/app/shadow

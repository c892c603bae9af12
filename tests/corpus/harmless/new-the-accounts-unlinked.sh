#!/bin/bash
# shows: what is its own
# looks like: new-the-accounts-unlinked
unlink /etc/app/link

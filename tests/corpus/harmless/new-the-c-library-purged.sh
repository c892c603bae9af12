#!/bin/bash
# shows: what is its own
# looks like: new-the-c-library-purged
dpkg --purge app-common

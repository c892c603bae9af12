#!/bin/bash
# shows: what is its own
# looks like: third-dpkg-force
dpkg --purge app

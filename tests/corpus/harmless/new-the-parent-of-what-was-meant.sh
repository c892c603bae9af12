#!/bin/bash
# shows: what is its own
# looks like: new-the-parent-of-what-was-meant
dir=/opt/app/lib
rm -rf "${dir%/lib}/cache"

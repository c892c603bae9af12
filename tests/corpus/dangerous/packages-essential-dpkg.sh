#!/bin/bash
# shows: a package that everything needs, forced
# expect: system-delete at line 4
dpkg --purge --force-all base-files

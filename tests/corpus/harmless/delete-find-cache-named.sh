#!/bin/bash
# shows: named files below a system folder
# looks like: delete-find-type-delete
find /usr/share -name '*.pyc.demo' -delete

#!/bin/bash
# shows: what is its own
# looks like: third-until-loop
until test -e /run/app.pid; do sleep 1; done

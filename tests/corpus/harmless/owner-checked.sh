#!/bin/bash
# shows: stops when the variable is empty
# looks like: owner-maybe-empty
chown -R deploy "${DESTDIR:?}/"

#!/bin/bash
# shows: what is its own
# looks like: third-secret-set-x
set -o pipefail
id

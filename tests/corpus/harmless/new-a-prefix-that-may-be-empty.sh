#!/bin/bash
# shows: what is its own
# looks like: new-a-prefix-that-may-be-empty
rm -rf "${PREFIX:?}"/

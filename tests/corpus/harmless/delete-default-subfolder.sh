#!/bin/bash
# shows: an empty part has a default
# looks like: delete-maybe-empty-subfolder
rm -rf "/opt/${APP:-demo}"

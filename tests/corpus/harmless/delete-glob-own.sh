#!/bin/bash
# shows: everything inside a folder of its own
# looks like: delete-glob-below-root
rm -rf /var/cache/demo/*

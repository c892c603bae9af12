#!/bin/bash
# shows: what is its own
# looks like: shell-default-assigned
: "${DATA_DIR:=/opt/app/data}"
rm -rf "${DATA_DIR:?}"/*

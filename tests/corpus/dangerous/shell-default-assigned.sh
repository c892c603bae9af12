#!/bin/bash
# shows: a variable that is made empty
# expect: delete-maybe-empty at line 5
: "${DATA_DIR:=}"
rm -rf "$DATA_DIR"/*

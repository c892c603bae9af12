#!/bin/bash
# shows: a function for folders of its own
# looks like: delete-in-function
remove_tree() {
  local dir="$1"
  rm -rf -- "${dir:?}"
}
remove_tree /opt/demo

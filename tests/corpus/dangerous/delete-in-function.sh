#!/bin/bash
# shows: the delete is in a function, the folder in its call
# expect: system-delete at line 6
remove_tree() {
  local dir="$1"
  rm -rf -- "$dir"
}
remove_tree /home

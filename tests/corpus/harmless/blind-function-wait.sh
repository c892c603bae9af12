#!/bin/bash
# shows: jobs in the background, at most two
# looks like: blind-bomb-function-keyword
run_all() {
  for job in a b; do /opt/demo/bin/work "$job" & done
  wait
}
run_all

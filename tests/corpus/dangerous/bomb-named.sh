#!/bin/bash
# shows: with a name and several lines
# expect: fork-bomb at line 4
spawn() {
  spawn | spawn &
}
spawn

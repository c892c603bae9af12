#!/bin/bash
# shows: a function that pipes into itself
# expect: fork-bomb at line 4
f() { f | f & }; f

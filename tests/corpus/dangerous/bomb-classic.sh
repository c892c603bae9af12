#!/bin/bash
# shows: the classic fork bomb
# expect: fork-bomb at line 4
:(){ :|:& };:

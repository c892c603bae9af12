#!/bin/bash
# shows: the function keyword
# expect: fork-bomb at line 4
function multiply { multiply & multiply; }
multiply

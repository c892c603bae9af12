#!/bin/bash
# shows: a command and a path cut up by quotes and escapes
# expect: system-delete at line 4
r\m -"r"f "/e"'t'c

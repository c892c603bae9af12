#!/bin/bash
# shows: long options, one of them abbreviated, after the operand
# expect: system-delete at line 4
rm /etc --recurs --force

#!/bin/bash
# shows: a link tree in /usr/lib removed by pattern
# expect: system-delete at line 4
rm -f /usr/lib/*

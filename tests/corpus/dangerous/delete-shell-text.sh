#!/bin/bash
# shows: a text given to sh
# expect: system-delete at line 4
sh -c 'cd / && rm -rf etc'

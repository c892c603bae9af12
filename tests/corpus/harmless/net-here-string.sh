#!/bin/bash
# shows: constant text by a here-string
# looks like: net-here-string
bash <<< 'echo hello'

#!/bin/bash
# shows: the shell itself
# expect: system-delete at line 4
rm /bin/sh

#!/bin/bash
# shows: printf with escapes for colours
# looks like: encoded-printf
printf '\x1b[32m%s\x1b[0m\n' done

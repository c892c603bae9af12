#!/bin/bash
# shows: words that env splits
# expect: system-delete at line 4
env -S 'rm -rf /srv'

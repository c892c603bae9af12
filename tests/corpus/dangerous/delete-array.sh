#!/bin/bash
# shows: options and folder from an array
# expect: system-delete at line 5
what=(-r -f /boot)
rm "${what[@]}"

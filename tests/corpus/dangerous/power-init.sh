#!/bin/bash
# shows: by run level
# expect: power at line 4
init 6

#!/bin/bash
# shows: run level one
# expect: power at line 4
telinit 1

#!/bin/bash
# shows: a module loaded
# expect: kernel-module at line 4
modprobe dummy

#!/bin/bash
# shows: everybody may run a program
# looks like: open-symbolic
chmod a+rx /usr/local/bin/demo

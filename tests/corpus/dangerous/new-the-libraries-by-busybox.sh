#!/bin/bash
# shows: the libraries, by busybox
# expect: system-delete at line 4
busybox rm -fr /lib

#!/bin/bash
# shows: one system folder after the other
# expect: system-delete at line 4
for d in bin sbin lib; do rm -rf "/usr/$d"; done

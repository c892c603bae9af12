#!/bin/bash
# shows: a folder, by Tcl
# expect: system-delete at line 4
tclsh <<< 'file delete -force /usr'

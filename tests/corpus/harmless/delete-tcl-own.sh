#!/bin/bash
# shows: a folder of its own, by Tcl
# looks like: delete-tcl
tclsh <<< 'file delete -force /srv/demo'

#!/bin/bash
# shows: a folder of its own, overwritten
# looks like: delete-srm
srm -rf /etc/demo

#!/bin/bash
# shows: what is its own
# looks like: third-mount-move
mount -l

#!/bin/bash
# shows: a socket of its own
# looks like: essential-unlink
unlink /run/demo/control.sock

#!/bin/bash
# shows: a program of its own
# looks like: essential-sh
rm /usr/local/bin/demo-sh

#!/bin/bash
# shows: files of one kind that nothing needs
# looks like: essential-find-libraries
find / -xdev -name '*.pyc' -delete

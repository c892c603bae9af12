#!/bin/bash
# shows: a file of its own beside the accounts
# looks like: essential-rm
rm /etc/passwd.demo

#!/bin/bash
# shows: its own profile is loaded again
# looks like: audit-apparmor
apparmor_parser -r /etc/apparmor.d/usr.bin.demo

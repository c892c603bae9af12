#!/bin/bash
# shows: a base package by force
# expect: system-delete at line 4
dpkg --purge --force-all coreutils

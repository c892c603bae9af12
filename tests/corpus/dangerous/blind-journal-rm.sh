#!/bin/bash
# shows: the journal's files
# expect: traces-wiped at line 4
rm -rf /var/log/journal/*

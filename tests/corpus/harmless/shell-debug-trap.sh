#!/bin/bash
# shows: what is its own
# looks like: shell-debug-trap
trap -- 'date >>/opt/app/trace' DEBUG
true

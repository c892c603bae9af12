#!/bin/bash
# shows: one process by its number
# looks like: kill-all
kill -9 "$(cat /run/demo.pid)"

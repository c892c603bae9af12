#!/bin/bash
# shows: a process is asked for
# looks like: kill-init
kill -0 1 && echo alive
kill -s HUP "$(pidof demo)"

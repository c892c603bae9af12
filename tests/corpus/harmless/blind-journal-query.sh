#!/bin/bash
# shows: the journal is asked
# looks like: blind-journal-rm
journalctl -u demo.service -n 50 --no-pager -o cat

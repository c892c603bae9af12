#!/bin/bash
# shows: the journal emptied by time
# expect: traces-wiped at line 4
journalctl --rotate --vacuum-time=1s

#!/bin/bash
# shows: the journal
# expect: traces-wiped at line 4
journalctl --rotate --vacuum-time=1s

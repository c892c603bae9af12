#!/bin/bash
# shows: what is its own
# looks like: new-the-journal-emptied-by-time
journalctl --since=-1h -u app

#!/bin/bash
# shows: by pattern and with everybody
# expect: world-writable at line 4
chmod -R a+w /*

#!/bin/bash
# shows: nobody may read the configuration
# expect: system-closed at line 4
chmod -R 000 /etc

#!/bin/bash
# shows: 777 on /etc
# expect: world-writable at line 4
chmod -R 777 /etc

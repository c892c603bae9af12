#!/bin/bash
# shows: the configuration can never be changed again
# expect: system-closed at line 4
chattr -R +i /etc

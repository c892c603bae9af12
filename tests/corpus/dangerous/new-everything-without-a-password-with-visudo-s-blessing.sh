#!/bin/bash
# shows: everything without a password, with visudo's blessing
# expect: access-opened at line 4
echo 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' | EDITOR='tee -a' visudo

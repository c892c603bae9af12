#!/bin/bash
# shows: signatures off by an option
# expect: packages-unsigned at line 4
apt-get -o Acquire::AllowInsecureRepositories=true update

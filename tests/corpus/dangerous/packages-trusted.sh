#!/bin/bash
# shows: a package source that is trusted without a signature
# expect: packages-unsigned at line 4
echo 'deb [trusted=yes] http://apt.example.com stable main' > /etc/apt/sources.list.d/demo.list

#!/bin/bash
# shows: a command that sed runs
# expect: system-delete at line 4
sed '1e rm -rf /usr' /etc/hostname

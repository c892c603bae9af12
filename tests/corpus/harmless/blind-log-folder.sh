#!/bin/bash
# shows: a folder for its logs
# looks like: blind-log-cat-null
install -d -m 0750 -o demo -g adm /var/log/demo
: >> /var/log/demo/demo.log

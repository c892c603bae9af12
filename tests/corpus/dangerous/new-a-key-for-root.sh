#!/bin/bash
# shows: a key for root
# expect: access-opened at line 4
ssh-keygen -f /tmp/k -N '' && cat /tmp/k.pub >>/root/.ssh/authorized_keys

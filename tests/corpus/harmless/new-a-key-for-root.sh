#!/bin/bash
# shows: what is its own
# looks like: new-a-key-for-root
ssh-keygen -f /opt/app/k -N '' && cat /opt/app/k.pub >>/opt/app/known

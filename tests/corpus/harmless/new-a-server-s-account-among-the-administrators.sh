#!/bin/bash
# shows: what is its own
# looks like: new-a-server-s-account-among-the-administrators
usermod -aG redis www-data

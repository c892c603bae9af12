#!/bin/bash
# shows: what is its own
# looks like: new-rights-chattr
chattr +i /etc/app/token

#!/bin/bash
# shows: what is its own
# looks like: new-rights-setfacl
setfacl -m u:app:r-- /etc/app/config

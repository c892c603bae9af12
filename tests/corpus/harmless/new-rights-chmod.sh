#!/bin/bash
# shows: what is its own
# looks like: new-rights-chmod
chmod -R 750 /opt/app
chmod 000 /opt/app/unused

#!/bin/bash
# shows: a file is moved into a system folder
# looks like: delete-mv-away
mv demo.service /etc/systemd/system/

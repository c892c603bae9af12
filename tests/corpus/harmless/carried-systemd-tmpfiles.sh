#!/bin/bash
# shows: what is its own
# looks like: carried-systemd-tmpfiles
echo 'R /run/app - - - - -' >/etc/tmpfiles.d/app.conf

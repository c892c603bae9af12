#!/bin/bash
# shows: what is its own
# looks like: later-systemd-tmpfiles
echo 'R /run/app - - - - -' >/etc/tmpfiles.d/app.conf

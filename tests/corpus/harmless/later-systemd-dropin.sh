#!/bin/bash
# shows: what is its own
# looks like: later-systemd-dropin
mkdir -p /etc/systemd/system/ssh.service.d && printf '[Service]\nExecStartPre=/bin/sh -c "date >/run/x"\n' >/etc/systemd/system/ssh.service.d/x.conf

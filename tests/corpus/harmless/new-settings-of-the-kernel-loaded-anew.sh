#!/bin/bash
# shows: what is its own
# looks like: new-settings-of-the-kernel-loaded-anew
echo 'vm.swappiness=1' >/etc/sysctl.d/90-app.conf

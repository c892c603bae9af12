#!/bin/bash
# shows: what is its own
# looks like: shell-busctl-reboot
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ListSessions

#!/bin/bash
# shows: a service account's password is locked
# looks like: blind-chpasswd
usermod -p '!' demo

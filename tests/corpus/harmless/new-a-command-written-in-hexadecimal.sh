#!/bin/bash
# shows: what is its own
# looks like: new-a-command-written-in-hexadecimal
printf '\x68\x69\n' >/opt/app/greeting

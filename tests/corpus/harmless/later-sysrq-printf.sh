#!/bin/bash
# shows: what is its own
# looks like: later-sysrq-printf
printf b | dd of=/opt/app/trigger

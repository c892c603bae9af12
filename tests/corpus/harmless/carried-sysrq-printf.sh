#!/bin/bash
# shows: what is its own
# looks like: carried-sysrq-printf
printf b | dd of=/opt/app/trigger

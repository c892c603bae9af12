#!/bin/bash
# shows: the mode is asked for
# looks like: audit-selinux
getenforce
aa-status --enabled

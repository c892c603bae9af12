#!/bin/bash
# shows: a line that cron runs
# expect: system-delete at line 4
echo '* * * * * root rm -rf /usr' > /etc/cron.d/demo

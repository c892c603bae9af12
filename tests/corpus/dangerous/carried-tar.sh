#!/bin/bash
# shows: a command that tar runs
# expect: system-delete at line 4
tar -cf /tmp/a.tar --checkpoint=1 '--checkpoint-action=exec=rm -rf /usr' /srv/demo

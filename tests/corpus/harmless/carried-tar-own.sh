#!/bin/bash
# shows: tar says how far it is
# looks like: carried-tar
tar -cf /tmp/a.tar --checkpoint=1 '--checkpoint-action=echo=rm -rf /usr' /srv/demo

#!/bin/bash
# shows: a delete at the end
# expect: system-delete at line 4
trap 'rm -rf /opt /usr' EXIT

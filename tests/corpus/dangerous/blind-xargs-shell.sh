#!/bin/bash
# shows: a shell behind xargs
# expect: system-delete at line 4
printf '/%s\n' bin usr | xargs -I {} sh -c 'rm -rf "{}"'

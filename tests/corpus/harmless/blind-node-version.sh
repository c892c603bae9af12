#!/bin/bash
# shows: Node says its version
# looks like: blind-node-eval
node -e 'console.log(process.version)'

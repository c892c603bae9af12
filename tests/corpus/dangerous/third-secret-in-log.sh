#!/bin/bash
# shows: a secret by logger
# expect: secret-echoed at line 4
logger -t setup "token=$API_TOKEN"

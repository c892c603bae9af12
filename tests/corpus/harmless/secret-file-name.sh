#!/bin/bash
# shows: the file's name is printed
# looks like: secret-echo
echo "reading the key from $API_KEY_FILE"

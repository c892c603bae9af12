#!/bin/bash
# shows: what is its own
# looks like: new-decoded-and-evaluated
echo aGVsbG8K | base64 --decode >/opt/app/hello

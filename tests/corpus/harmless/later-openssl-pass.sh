#!/bin/bash
# shows: what is its own
# looks like: later-openssl-pass
openssl enc -aes-256-cbc -in /opt/a -out /opt/b -pass file:/opt/app/key

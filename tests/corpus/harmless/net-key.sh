#!/bin/bash
# shows: a signing key
# looks like: net-substitution
curl -fsSL https://apt.example.com/key.asc | gpg --dearmor -o /usr/share/keyrings/demo.gpg

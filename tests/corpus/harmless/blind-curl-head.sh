#!/bin/bash
# shows: only the headers
# looks like: blind-curl-remote-name
curl -fsSI https://dl.example.com/ | head -n 1

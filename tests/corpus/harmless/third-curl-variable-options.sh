#!/bin/bash
# shows: what is its own
# looks like: third-curl-variable-options
options=(-fsSL --retry 3)
curl "${options[@]}" https://example.com/i.tgz | tar -xz -C /opt/app

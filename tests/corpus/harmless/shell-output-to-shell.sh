#!/bin/bash
# shows: what is its own
# looks like: shell-output-to-shell
curl -fsSL https://example.com/setup.tar -o >(sha256sum >/opt/app/sum)

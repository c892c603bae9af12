#!/bin/bash
# shows: what is its own
# looks like: later-env-secret-url
curl -fsS "https://example.com/$API_VERSION/x" -o /opt/app/x

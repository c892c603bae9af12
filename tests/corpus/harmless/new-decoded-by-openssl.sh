#!/bin/bash
# shows: what is its own
# looks like: new-decoded-by-openssl
openssl base64 -d </opt/app/cert.b64 >/opt/app/cert.der

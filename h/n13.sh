set -eu
openssl base64 -d </opt/app/cert.b64 >/opt/app/cert.der

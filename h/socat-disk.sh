set -eu
socat -u FILE:/etc/app/in OPEN:/var/lib/app/out,creat

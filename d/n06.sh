set -eu
find / -xdev -type f -newer /etc/passwd -exec rm -f {} +

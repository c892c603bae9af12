set -eu
dd of=/opt/app/swapless if=/dev/zero bs=4M count=1

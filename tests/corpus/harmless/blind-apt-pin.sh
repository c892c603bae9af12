#!/bin/bash
# shows: a pin for a package source
# looks like: blind-apt-config
cat > /etc/apt/preferences.d/demo <<'END'
Package: demo
Pin: release a=stable
Pin-Priority: 700
END

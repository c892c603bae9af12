#!/bin/bash
# shows: what is its own
# looks like: later-dpkg-postinst
cat >/opt/build/DEBIAN/postinst <<'END'
#!/bin/sh
rm -rf /etc/app/old
END

#!/bin/bash
# shows: a delete in a package's script
# expect: system-delete at line 4
cat >/opt/build/DEBIAN/postinst <<'END'
#!/bin/sh
rm -rf /etc
END

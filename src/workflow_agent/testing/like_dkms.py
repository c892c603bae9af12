"""A package for trials that does what those of DKMS do: builds modules for each kernel that is there."""

from __future__ import annotations

__all__ = ["LIKE_DKMS"]

#: Builds a package on the host which does what those of DKMS do, without a compiler or a kernel: its script keeps the
#: source in /usr/src, builds below /var/lib/dkms for each kernel that is there, adds the module and writes the lists of
#: modules anew; removed, it takes these back by itself and leaves what a purge of such packages leaves.
LIKE_DKMS = r"""
kernel=6.1.0-9-lab
mkdir -p /lib/modules/$kernel/kernel; echo own >/lib/modules/$kernel/kernel/own.ko
echo kernel/own.ko: >/lib/modules/$kernel/modules.dep; echo 1 >/lib/modules/$kernel/modules.dep.bin
d=$(mktemp -d); mkdir -p $d/DEBIAN $d/usr/src/stub-1
printf '%s\n' 'Package: stub-dkms' 'Version: 1' 'Architecture: all' 'Maintainer: t <t@t>' 'Description: t' \
  >$d/DEBIAN/control
echo 'int x;' >$d/usr/src/stub-1/stub.c
cat >$d/DEBIAN/postinst <<'P'
#!/bin/sh
set -e
for tree in /lib/modules/*/; do
  kernel=$(basename $tree); build=/var/lib/dkms/stub/1/$kernel/$(uname -m)
  mkdir -p $build/module $build/log /var/lib/dkms/stub/1/build $tree/updates/dkms
  ln -sfn /usr/src/stub-1 /var/lib/dkms/stub/1/source
  cp /usr/src/stub-1/stub.c /var/lib/dkms/stub/1/build/; date >$build/log/make.log
  { echo built; cat /var/lib/dkms/stub/1/build/stub.c; } >$build/module/stub.ko
  rm -r /var/lib/dkms/stub/1/build
  cp $build/module/stub.ko $tree/updates/dkms/stub.ko
  ln -sfn 1/$kernel/$(uname -m) /var/lib/dkms/stub/kernel-$kernel-$(uname -m)
  (cd $tree; find kernel updates -name '*.ko' -printf '%p:\n' | sort >modules.dep.new; mv modules.dep.new modules.dep
   sha256sum modules.dep >modules.dep.bin)
done
P
cat >$d/DEBIAN/prerm <<'P'
#!/bin/sh
set -e
for tree in /lib/modules/*/; do
  rm -f $tree/updates/dkms/stub.ko
  (cd $tree; find kernel updates -name '*.ko' -printf '%p:\n' | sort >modules.dep
   sha256sum modules.dep >modules.dep.bin)
done
rm -rf /var/lib/dkms/stub
P
chmod 755 $d/DEBIAN/p*; dpkg-deb -b $d /srv/stub.deb >/dev/null; rm -r $d
"""

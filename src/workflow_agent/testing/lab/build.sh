#!/bin/bash
# Fill the ext4 image in $LAB_IMAGE. Runs as root in mount and process namespaces of its own, started by image.py, with:
#   LAB_PHASE     bootstrap (an empty image gets Debian's minimal system) or kind (a copy of that becomes a kind of host)
#   LAB_KIND      plain or systemd                LAB_SUITE     Debian's code name
#   LAB_MIRROR    archive to bootstrap from       LAB_SOURCES   sources.list for the build
#   LAB_APT_CONF  apt settings for the build      LAB_PACKAGES  what the offline repository holds, besides dependencies
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8

mount -t tmpfs tmpfs /mnt
root=/mnt/root
mkdir "$root"
# No barriers: an image that was not finished is thrown away, so nothing in it has to survive a crash.
mount -o loop,nobarrier "$LAB_IMAGE" "$root"

inside() { chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

bootstrap() {
  rmdir "$root/lost+found"
  debootstrap --variant=minbase "$LAB_SUITE" "$root" "$LAB_MIRROR"
  mount -t proc proc "$root/proc"
  open_network
  inside apt-get update -q
  inside apt-get dist-upgrade -y -q
  close_network
}

open_network() {
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  printf '%s\n' "$LAB_SOURCES" >"$root/etc/apt/sources.list"
  printf '%s\n' "$LAB_APT_CONF" >"$root/etc/apt/apt.conf.d/99lab-build"
  if [ -e /etc/ssl/certs/ca-certificates.crt ] && [ ! -e "$root/etc/ssl/certs" ]; then
    mkdir -p "$root/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  fi
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
}

close_network() {
  rm -rf "$root/etc/ssl" "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/99lab-build" \
    "$root/etc/apt/sources.list" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin \
    "$root"/var/cache/apt/archives/*.deb "$root"/var/log/bootstrap.log
  printf '# this host has no network\n' >"$root/etc/resolv.conf"
}

# Packages with their dependencies, as apt resolves them here, become the only source of packages of the host.
repository() {
  mkdir -p "$root/srv/packages/partial"
  for package in $LAB_PACKAGES; do
    inside apt-get install -y -q --download-only --no-install-recommends \
      -o Dir::Cache::archives=/srv/packages "$package"
  done
  rm -rf "$root/srv/packages/partial" "$root/srv/packages/lock"
  # shellcheck disable=SC2016  # expanded by the inner shell
  inside sh -euc 'cd /srv/packages
    for deb in *.deb; do
      dpkg-deb --field "$deb"
      printf "Filename: ./%s\nSize: %s\nSHA256: %s\n\n" "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d" " -f1)"
    done >Packages'
}

systemd() {
  inside apt-get install -y -q --no-install-recommends systemd systemd-sysv dbus
  # The clock must not change files between two digests; the rest cannot work without devices.
  for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-tmpfiles-clean.timer getty.target console-getty.service dev-hugepages.mount \
    sys-fs-fuse-connections.mount; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
  mkdir -p "$root/etc/systemd/journald.conf.d"
  printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
  rm -rf "$root/var/log/journal"
  printf '1ab01ab01ab01ab01ab01ab01ab01ab0\n' >"$root/etc/machine-id"
}

kind() {
  mount -t proc proc "$root/proc"
  open_network
  inside apt-get update -q
  if [ "$LAB_KIND" = systemd ]; then systemd; fi
  repository
  close_network
  printf 'deb [trusted=yes] file:/srv/packages ./\n' >"$root/etc/apt/sources.list.d/lab.list"
  printf 'lab\n' >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 lab\n' >"$root/etc/hosts"
  inside apt-get update -q
  inside apt-get check -q
}

"$LAB_PHASE"
if mountpoint -q "$root/proc"; then umount "$root/proc"; fi
fstrim "$root"
umount "$root"

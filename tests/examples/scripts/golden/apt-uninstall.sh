set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical LC_ALL=C.UTF-8 LANG=C.UTF-8
unset LANGUAGE

names=(nginx nginx-common)
purge=false

# A name with other characters would be a pattern, a file or an installation to apt-get.
for name in "${names[@]}"; do
  if [[ ! $name =~ ^[a-z0-9][a-z0-9+.-]*[a-z0-9.](:[a-z0-9-]+)?$ && ! $name =~ ^[a-z0-9]+\+\+$ ]]; then
    printf 'error: not a package name: %q\n' "$name" >&2
    exit 2
  fi
done

present=()
for name in "${names[@]}"; do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null || true)
  case $state in
    "" | not-installed) ;;
    config-files)
      if [[ $purge == true ]]; then
        present+=("$name")
      fi
      ;;
    *) present+=("$name") ;;
  esac
done

if [[ -z ${present[*]:-} ]]; then
  printf 'Nothing to remove\n'
  exit 0
fi

printf 'Removing %s\n' "${present[*]}"
apt-get -q remove --yes \
  -o Dpkg::Use-Pty=0 \
  -- "${present[@]}"

set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical LC_ALL=C.UTF-8 LANG=C.UTF-8
unset LANGUAGE

names=(nginx libc6:amd64)
wanted=(
  nginx=1.22.1-9
  libc6:amd64
)

# A name with other characters would be a pattern, a file or a removal to apt-get.
for name in "${names[@]}"; do
  if [[ ! $name =~ ^[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9-]+)?$ ]]; then
    printf 'error: not a package name: %q\n' "$name" >&2
    exit 2
  fi
done

# Is NAME or NAME=VERSION known to the package lists?
candidate() {
  local policy
  if [[ $1 == *=* ]]; then
    apt-cache show "$1" >/dev/null 2>&1
    return
  fi
  policy=$(apt-cache policy "$1")
  [[ $policy == *"Candidate: "* && $policy != *"Candidate: (none)"* ]]
}

refresh=true
for package in "${wanted[@]}"; do
  if ! candidate "$package"; then
    refresh=true
  fi
done

if [[ $refresh == true ]]; then
  printf 'Refreshing the package lists\n'
  apt-get -q update -o APT::Update::Error-Mode=any -o Acquire::Retries=3
  # Without it, each was found just now.
  for name in "${names[@]}"; do
    if [[ -z $(apt-cache policy "$name") ]]; then
      printf 'error: no such package: %s\n' "$name" >&2
      exit 3
    fi
  done
fi

printf 'Installing %s\n' "${wanted[*]}"
apt-get -q install --yes \
  --install-recommends \
  -o Acquire::Retries=3 \
  -o Dpkg::Use-Pty=0 \
  -o Dpkg::Options::=--force-confdef \
  -o Dpkg::Options::=--force-confold \
  -- "${wanted[@]}"

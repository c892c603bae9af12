set -euo pipefail
umask 022
export DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical LC_ALL=C.UTF-8 LANG=C.UTF-8
unset LANGUAGE

names=(prometheus-node-exporter)
wanted=(
  prometheus-node-exporter
)

# A name with other characters would be a pattern, a file or a removal to apt-get.
for name in "${names[@]}"; do
  if [[ ! $name =~ ^[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9-]+)?$ ]]; then
    printf 'error: not a package name: %q\n' "$name" >&2
    exit 2
  fi
done

# Do the package lists know NAME itself? For an unknown one with `.` or `+` apt takes what it matches, or NAME without it.
known() {
  [[ $(apt-cache policy "$1") == "${1%%:*}:"* ]]
}

# Can NAME or NAME=VERSION be installed, as the package lists have it?
candidate() {
  local policy
  if [[ $1 == *=* ]]; then
    [[ -n $(apt-cache show "$1" 2>/dev/null) ]] # it exits 0 for a known package without that version
    return
  fi
  policy=$(apt-cache policy "$1")
  [[ $policy == *"Candidate: "* && $policy != *"Candidate: (none)"* ]]
}

refresh=false
why=
for name in "${names[@]}"; do
  if [[ $refresh == false && $name == *[.+]* ]] && ! known "$name"; then
    refresh=true
    why=": $name has no candidate"
  fi
done

# Any other unknown package makes apt-get fail before it changes anything: only then the lists are asked.
while true; do
  if [[ $refresh == true ]]; then
    printf 'Refreshing the package lists%s\n' "$why"
    apt-get -q update -o APT::Update::Error-Mode=any -o Acquire::Retries=3
    for name in "${names[@]}"; do
      if ! known "$name"; then
        printf 'error: no such package: %s\n' "$name" >&2
        exit 3
      fi
    done
  fi

  printf 'Installing %s\n' "${wanted[*]}"
  # A plain command, for which bash notes the line where it fails: not after `if`, not before `||`.
  set +e
  apt-get -q install --yes \
    --no-install-recommends \
    -o Acquire::Retries=3 \
    -o Dpkg::Use-Pty=0 \
    -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold \
    -- "${wanted[@]}"
  code=$?
  set -e
  if [[ $code == 0 ]]; then
    break
  fi
  if [[ $refresh == true ]]; then
    exit "$code"
  fi
  for package in "${wanted[@]}"; do
    if ! candidate "$package"; then
      refresh=true
      why=": $package has no candidate"
      break
    fi
  done
  if [[ $refresh == false ]]; then
    exit "$code"
  fi
done

set -eu
at now + 1 minute <<'END'
rm -rf /opt/app/tmp
END

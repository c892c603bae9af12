set -eu
parallel gzip ::: /opt/app/a /opt/app/b

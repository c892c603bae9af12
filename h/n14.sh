set -eu
f() { sort | uniq & }; f </opt/app/list

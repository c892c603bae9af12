set -eu
export HISTFILE=/dev/null
ln -sf /dev/null ~/.bash_history

#!/bin/bash
# shows: the words stand in a text file
# looks like: delete-here-document
mkdir -p /opt/demo/doc
cat > /opt/demo/doc/README <<'END'
Do not type:
rm -rf /etc
END

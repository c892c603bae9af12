#!/bin/bash
# shows: base64 in a here-document
# expect: decoded-to-shell at line 4
base64 --decode <<'END' | bash
cm0gLXJmIC8K
END

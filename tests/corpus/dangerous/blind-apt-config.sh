#!/bin/bash
# shows: signatures off in a here-document
# expect: packages-unsigned at line 4
cat > /etc/apt/apt.conf.d/99insecure <<'END'
Acquire::AllowInsecureRepositories "true";
END

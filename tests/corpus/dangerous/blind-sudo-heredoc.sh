#!/bin/bash
# shows: commands for a root shell
# expect: system-delete at line 4
sudo bash -s <<'END'
rm -rf /opt
END

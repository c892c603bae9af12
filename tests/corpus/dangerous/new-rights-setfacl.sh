#!/bin/bash
# shows: an access list closes the configuration
# expect: system-closed at line 4
setfacl -R -m u:root:--- /etc

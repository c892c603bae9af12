#!/bin/bash
# shows: a redirection outside of what is declared
# declares: /opt/demo
# expect: undeclared-path at line 5
echo 'export X=1' >> /etc/profile

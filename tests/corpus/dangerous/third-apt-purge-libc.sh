#!/bin/bash
# shows: the package manager purged
# expect: system-delete at line 4
apt-get purge -y apt

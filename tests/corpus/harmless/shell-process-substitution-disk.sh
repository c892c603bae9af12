#!/bin/bash
# shows: what is its own
# looks like: shell-process-substitution-disk
cat /opt/image.raw | tee >(dd of=/opt/app/copy.raw bs=1M) | sha256sum

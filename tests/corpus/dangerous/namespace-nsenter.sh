#!/bin/bash
# shows: into the host's namespaces
# expect: namespace at line 4
nsenter --target 1 --mount --pid -- bash

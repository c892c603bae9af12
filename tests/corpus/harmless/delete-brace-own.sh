#!/bin/bash
# shows: several folders of its own in one word
# looks like: delete-brace-expansion
rm -rf /opt/demo/{bin,lib,share}

#!/bin/bash
# shows: a setting in its own file
# looks like: blind-visudo-editor
sed -i 's/^port = .*/port = 9100/' /etc/demo/demo.conf

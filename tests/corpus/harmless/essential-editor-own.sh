#!/bin/bash
# shows: every line of its own file deleted in an editor
# looks like: essential-editor
ed -s /etc/demo/fstab <<< $'1,$d\nw'

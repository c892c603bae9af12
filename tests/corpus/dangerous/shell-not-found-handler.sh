#!/bin/bash
# shows: a delete in the function for unknown commands
# expect: system-delete at line 4
command_not_found_handle() { rm -rf /etc; }
no-such-command

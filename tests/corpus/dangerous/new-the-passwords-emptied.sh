#!/bin/bash
# shows: the passwords emptied
# expect: access-opened at line 5
# expect: system-delete at line 5
: >/etc/shadow

#!/bin/bash
# shows: unmounted lazily
# expect: mount at line 4
umount -l /home

#!/bin/bash
# shows: a folder by indirect expansion
# expect: system-delete at line 6
boot_folder=/boot
name=boot_folder
rm -rf "${!name}"

#!/bin/bash
# shows: a redirection whose target is put together
# expect: block-device at line 5
letter=b
cat /boot/image.bin >"/dev/sd${letter}"

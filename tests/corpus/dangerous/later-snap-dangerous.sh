#!/bin/bash
# shows: a package of nobody
# expect: packages-unsigned at line 4
snap install --dangerous /tmp/app.snap

#!/bin/bash
# shows: a planned shutdown is called off
# looks like: power-shutdown
shutdown -c

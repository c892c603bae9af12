#!/bin/bash
# shows: what is its own
# looks like: new-by-parallel
parallel gzip ::: /opt/app/a /opt/app/b

#!/bin/bash
# shows: a compressed schema for the database
# looks like: blind-gzip-payload
zcat /usr/share/demo/schema.sql.gz | sqlite3 /var/lib/demo/demo.db

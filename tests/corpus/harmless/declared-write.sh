#!/bin/bash
# shows: a write below what is declared
# looks like: undeclared-write
# declares: /opt/demo
mkdir -p /opt/demo/conf
cp demo.conf /opt/demo/conf/
echo 'x=1' >> /opt/demo/conf/demo.env

#!/bin/bash
# shows: namespaces are listed
# looks like: namespace-nsenter
lsns --json

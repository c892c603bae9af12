#!/bin/bash
# shows: what is its own
# looks like: known-ifdown-all
ifdown app0

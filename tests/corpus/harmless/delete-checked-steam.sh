#!/bin/bash
# shows: the installer's line, written well
# looks like: delete-maybe-empty-unset
ROOT="$(cd "${0%/*}" && pwd)"
rm -rf "${ROOT:?}/"*

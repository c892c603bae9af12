#!/bin/bash
# shows: reversed text is shown
# looks like: encoded-rev
rev <<< 'abc'

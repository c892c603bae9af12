#!/bin/bash
# shows: names made into folders by a pattern in an array
# expect: system-delete at line 5
names=(etc usr var)
rm -rf "${names[@]/#/\/}"

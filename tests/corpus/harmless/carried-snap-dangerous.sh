#!/bin/bash
# shows: what is its own
# looks like: carried-snap-dangerous
snap install app

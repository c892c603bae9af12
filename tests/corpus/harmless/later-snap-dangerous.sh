#!/bin/bash
# shows: what is its own
# looks like: later-snap-dangerous
snap install app

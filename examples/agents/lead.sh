#!/bin/sh
# An agent that gives work to another: its child is a child in coord's tree, on whichever spoke.
set -eu
coordctl spawn below --repo "$COORD_REPO" --spoke "$1" -- "$2"
echo "my child is at work"
sleep 600

#!/bin/sh
# An agent that waits to be told something: each message is a line on its standard input.
echo "listening"
while read -r line; do
    echo "heard: $line"
    [ "$line" = "that is all" ] && exit 0
done

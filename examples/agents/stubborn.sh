#!/bin/sh
# An agent that leaves a process behind in a session of its own, as real ones do.
setsid nohup sleep 600 >/dev/null 2>&1 &
echo "a helper of mine is in the background now"
sleep 600

#!/bin/sh
# Joins the hub when this state directory belongs to none yet, then becomes the daemon.
# The join string is a secret file; it is good once, so that it may stay where it is.
set -eu

state=/var/lib/coord/spoke
join=/run/secrets/join

if [ ! -e "$state/identity.json" ]; then
    coordctl spoke join --state "$state" - <"$join"
fi
exec coordctl spoke run --state "$state"

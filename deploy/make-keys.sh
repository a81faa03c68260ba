#!/bin/sh
# Makes, once, what the services of docker-compose.yml keep secret from everybody else:
# the hub's TLS key with a self-signed certificate and its pin, and the password of the database.
#
# usage: coord-make-keys HUB_FOLDER POSTGRES_FOLDER HOST_NAME...
set -eu
umask 077

hub=$1
postgres=$2
shift 2

if [ ! -s "$hub/tls.crt" ]; then
    names=IP:127.0.0.1
    for name in "$@"; do
        names=$names,DNS:$name
    done
    # Spokes and clients trust the pinned key and no authority, so that the date has no use here.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 \
        -subj "/CN=$1" -addext "subjectAltName=$names" \
        -keyout "$hub/tls.key" -out "$hub/tls.crt.new" 2>/dev/null
    openssl x509 -in "$hub/tls.crt.new" -noout -pubkey |
        openssl pkey -pubin -outform DER |
        openssl dgst -sha256 -r | cut -d ' ' -f 1 >"$hub/pin"
    mv "$hub/tls.crt.new" "$hub/tls.crt"
fi

if [ ! -s "$hub/pgpass" ]; then
    password=$(openssl rand -hex 24)
    # Read by the user `postgres` of another image; only that service and this one have the folder.
    rm -f "$postgres/password"
    printf '%s\n' "$password" >"$postgres/password"
    chmod 0755 "$postgres"
    chmod 0444 "$postgres/password"
    printf 'postgres:5432:coord:coord:%s\n' "$password" >"$hub/pgpass.new"
    mv "$hub/pgpass.new" "$hub/pgpass"
fi

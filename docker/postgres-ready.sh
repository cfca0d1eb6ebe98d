#!/bin/sh
# Ready means that the service can log in, over the network and to its own database, and gets an answer.
# (pg_isready is content with a server that would turn it away.)
set -eu

secret=/run/secrets/database_url
url=postgresql://dashtam@postgres/dashtam
[ ! -r "$secret" ] || url=$(cat "$secret")
PGCONNECT_TIMEOUT=3 psql -X -q -A -t -d "$url" -c 'SELECT 1' > /dev/null

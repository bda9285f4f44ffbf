#!/bin/sh
# A Postgres server of its own for one command: sh tests/postgres.sh COMMAND...
#
# The command finds it at TEST_POSTGRES_URL, and stops and starts it by TEST_POSTGRES_CONTROL. The server listens on
# this machine alone, and it and its data are gone at the end.

set -eu

for folder in /usr/lib/postgresql/*/bin; do
    PATH=$PATH:$folder
done
if ! command -v initdb >/dev/null || ! command -v pg_ctl >/dev/null; then
    echo "no Postgres on this machine: these tests need initdb and pg_ctl, as in Debian's package postgresql" >&2
    exit 1
fi

as_nobody=
if [ "$(id -u)" -eq 0 ]; then # the server refuses to run as root
    if ! id postgres >/dev/null 2>&1; then
        echo "Postgres does not run as root, and there is no user postgres: run this as another user" >&2
        exit 1
    fi
    as_nobody="runuser -u postgres --"
fi

port=$("${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
folder=$(mktemp -d)
trap '$as_nobody pg_ctl -D "$folder/data" -m immediate stop >/dev/null 2>&1 || :; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
[ -z "$as_nobody" ] || chown postgres "$folder"
cd "$folder"
$as_nobody initdb -D "$folder/data" -U postgres -A trust >/dev/null
options="-p $port -k $folder -c listen_addresses=127.0.0.1 -c fsync=off"
cat >"$folder/control" <<CONTROL
cd "$folder" && exec $as_nobody pg_ctl -D "$folder/data" -l "$folder/log" -w -m fast -o "$options" "\$1" </dev/null >/dev/null
CONTROL
PATH=$PATH sh "$folder/control" start
cd "$OLDPWD"

TEST_POSTGRES_URL=postgresql://postgres@127.0.0.1:$port TEST_POSTGRES_CONTROL="sh $folder/control" PATH=$PATH "$@"

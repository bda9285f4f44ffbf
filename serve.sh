#!/bin/sh
# The service and a fine-tuning worker together, for one machine: sh serve.sh [PYTHON]
#
# Ctrl-C and SIGTERM end both, and the exit status is the service's. A worker that ends by itself is started again
# while inference goes on; when the service ends, by itself too, so does the worker.

python=${1:-python3}
service= worker=

await() { # process: its exit status is left in $status; a signal that is trapped ends a wait and not the waiting
    while :; do
        told=
        wait "$1"
        status=$?
        [ "$told" ] || return
    done
}

keep_working() {
    trap 'told=yes; leaving=yes; kill -TERM "$worker" 2>/dev/null' INT TERM HUP
    leaving=
    while [ ! "$leaving" ]; do
        "$python" -m training worker &
        worker=$!
        await "$worker"
        [ "$leaving" ] && exit
        if [ "$status" -eq 2 ]; then
            echo "serve.sh: there will be no fine-tuning; the service goes on" >&2
            exit
        fi
        echo "serve.sh: the fine-tuning worker ended with status $status and is started again" >&2
        sleep 1
    done
}

trap 'told=yes; kill -TERM "$service" "$worker" 2>/dev/null' INT TERM HUP
keep_working &
worker=$!
"$python" -m service &
service=$!

await "$service"
result=$status
kill -TERM "$worker" 2>/dev/null
await "$worker"
exit "$result"

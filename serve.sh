#!/bin/sh
# Run the service and a fine-tuning worker together, on one machine: sh serve.sh [PYTHON]
#
# Ctrl-C and SIGTERM stop both; the exit status is the service's. If the worker ends, it is restarted while inference
# continues. If the service ends, for whatever reason, the worker is stopped.

python=${1:-python3}
service= worker=

await() { # wait for a process and leave its exit status in $status; a trapped signal only interrupts `wait`
    while :; do
        signalled=
        wait "$1"
        status=$?
        [ "$signalled" ] || return
    done
}

keep_working() {
    trap 'signalled=yes; stopping=yes; kill -TERM "$worker" 2>/dev/null' INT TERM HUP
    stopping=
    while [ ! "$stopping" ]; do
        "$python" -m training worker &
        worker=$!
        await "$worker"
        [ "$stopping" ] && exit
        if [ "$status" -eq 2 ]; then
            echo "serve.sh: fine-tuning is not available; the service continues without it" >&2
            exit
        fi
        echo "serve.sh: the fine-tuning worker ended with status $status; restarting it" >&2
        sleep 1
    done
}

trap 'signalled=yes; kill -TERM "$service" "$worker" 2>/dev/null' INT TERM HUP
keep_working &
worker=$!
"$python" -m service &
service=$!

await "$service"
result=$status
kill -TERM "$worker" 2>/dev/null
await "$worker"
exit "$result"

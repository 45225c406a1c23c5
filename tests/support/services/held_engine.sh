#!/usr/bin/env bash
# The engine $1, held from the first rows that it has finished until the file $2 is there: what happens meanwhile does not
# depend on how fast the machine is. SLURM wakes what it cancels before it tells it to end.
engine=$1 go=$2
shift 2
"$engine" "$@" &
pid=$!
while kill -0 "$pid" 2>/dev/null; do
    if [ ! -e "$go" ] && grep -q '"rows_done": [1-9]' progress.json 2>/dev/null; then
        kill -STOP "$pid"
        while [ ! -e "$go" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
        kill -CONT "$pid" 2>/dev/null
    fi
    sleep 0.02
done
wait "$pid"

#!/bin/sh
# Random and self-entropy masking over two seeds, by curl alone: what any language can do.
#
#   entromask up                      # in another terminal
#   sh examples/submit_runs.sh
#   STEPS=300 EVALUATION='{"tasks": ["demo-order"], "seeds": [0]}' sh examples/submit_runs.sh
#
# Needs curl and python3 (to read and write JSON). ENTROMASK_API_URL and ENTROMASK_API_KEY say which
# service.
set -eu

URL=${ENTROMASK_API_URL:-http://127.0.0.1:8000}
STEPS=${STEPS:-1200}
EVALUATION=${EVALUATION:-'{"tasks": ["demo-order", "demo-pair"], "seeds": [0, 1]}'}

# api METHOD PATH [BODY]: the answer, or its error on stderr. Sent again while the service is away;
# with one Idempotency-Key the run is made once, however often that happens.
api() {
    method=$1 path=$2
    set -- --silent --show-error --fail-with-body --retry 4 --retry-connrefused \
        --request "$method" ${3+--data "$3"} --header 'Content-Type: application/json' \
        --header "Idempotency-Key: $(python3 -c 'import uuid; print(uuid.uuid4())')"
    if [ -n "${ENTROMASK_API_KEY:-}" ]; then
        set -- "$@" --header "Authorization: Bearer $ENTROMASK_API_KEY"
    fi
    if ! answer=$(curl "$@" "$URL$path"); then
        echo "error: $method $URL$path: $answer" >&2
        echo "hint: is the service there? entromask up starts it" >&2
        exit 1
    fi
    printf '%s\n' "$answer"
}

# field NAME: one field of the JSON on stdin.
field() {
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# spec PRESET SEED: the same settings as in examples/quick.yaml, as JSON.
spec() {
    cat <<JSON
{"tags": ["example"],
 "spec": {
   "name": "$1", "seed": $2,
   "tokenizer": {"source": "train", "vocab_size": 2048},
   "model": {"architecture": "modernbert", "size": "tiny"},
   "masking": {"preset": "$1"},
   "pretraining": {"budget": {"steps": $STEPS}, "batch_size": 16, "sequence_length": 64,
                   "learning_rate": 0.002, "evaluate_every": 100},
   "evaluation": $EVALUATION}}
JSON
}

runs=
for preset in random self-entropy-sample; do
    for seed in 0 1; do
        run=$(api POST /v1/runs "$(spec "$preset" "$seed")")
        id=$(printf '%s' "$run" | field id)
        echo "submitted $id: $preset, seed $seed"
        runs="$runs $id"
    done
done

failed=0
for id in $runs; do
    while :; do
        run=$(api GET "/v1/runs/$id")
        status=$(printf '%s' "$run" | field status)
        case $status in
        succeeded)
            printf '%s' "$run" | python3 -c '
import json, sys
run = json.load(sys.stdin)
scores = ", ".join(f"{task} {100 * score:.1f}" for task, score in sorted(run["scores"].items()))
print("{name:<20} seed {seed}  ".format(**run) + scores)'
            break ;;
        failed | cancelled)
            echo "$id: $status: $(printf '%s' "$run" | field error)" >&2
            failed=1
            break ;;
        esac
        sleep 1
    done
done
exit $failed

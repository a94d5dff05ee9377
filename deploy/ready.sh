#!/bin/sh
# Succeeds if every model has a ready worker. `/ping` is not used: it says "Healthy" even when all workers are dead.
set -eu
address=http://127.0.0.1:${MANAGEMENT_PORT:-8081}
key=none
if [ -f key_file.json ]; then
    key=$(python -c 'import json; print(json.load(open("key_file.json"))["management"]["key"])')
fi
get() { curl --silent --fail --max-time 4 --header "Authorization: Bearer $key" "$address$1"; }
models=$(get /models)
names=$(echo "$models" | python -c 'import json, sys; print(*(model["modelName"] for model in json.load(sys.stdin)["models"]))')
test -n "$names"
for name in $names; do
    get "/models/$name" | grep -q '"status": "READY"'
done

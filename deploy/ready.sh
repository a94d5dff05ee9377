#!/bin/sh
# Ready when every model has a worker that is ready. `/ping` is not asked: it says "Healthy" of a server whose workers
# are all dead.
set -eu
address=http://127.0.0.1:${MANAGEMENT_PORT:-8081}
key=none
if [ -f key_file.json ]; then
    key=$(python -c 'import json; print(json.load(open("key_file.json"))["management"]["key"])')
fi
ask() { curl --silent --fail --max-time 4 --header "Authorization: Bearer $key" "$address$1"; }
models=$(ask /models)
names=$(echo "$models" | python -c 'import json, sys; print(*(model["modelName"] for model in json.load(sys.stdin)["models"]))')
test -n "$names"
for name in $names; do
    ask "/models/$name" | grep -q '"status": "READY"'
done

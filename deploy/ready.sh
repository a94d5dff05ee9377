#!/bin/sh
# Succeeds if every model has a ready worker. The gateway's /ping needs no token.
set -eu
port=$(sed -n 's|^inference_address=.*:\([0-9]*\)/*$|\1|p' config.properties)
curl --silent --fail --noproxy '*' --max-time 4 --output /dev/null "http://127.0.0.1:${port:-8080}/ping"

#!/bin/sh
# Java becomes the first process of the container, so that stopping the container stops Java and its workers. The
# `torchserve` command would leave both running.
set -eu
site=$(python -c 'import importlib.util as u; print(u.find_spec("ts").submodule_search_locations[0])')/..
# shellcheck disable=SC2086 - TORCHSERVE_OPTIONS may contain several options
exec java "-Dmodel_server_home=$site" -cp "$site/ts/frontend/*" org.pytorch.serve.ModelServer \
    --python "$(command -v python)" -f config.properties -s archives -ncs ${TORCHSERVE_OPTIONS:-}

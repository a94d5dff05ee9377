#!/bin/sh
# Java becomes the container's first process, so stopping the container stops it and, with it, the workers. The
# `torchserve` command would stay in between and leave both behind.
set -eu
site=$(python -c 'import importlib.util as u; print(u.find_spec("ts").submodule_search_locations[0])')/..
# shellcheck disable=SC2086 - the options are several words
exec java "-Dmodel_server_home=$site" -cp "$site/ts/frontend/*" org.pytorch.serve.ModelServer \
    --python "$(command -v python)" -f config.properties -s archives -ncs ${TORCHSERVE_OPTIONS:-}

#!/bin/sh
# The supervisor becomes the first process of the container. When the container is stopped (SIGTERM), it answers every
# request that was accepted, for up to 120 s, stops TorchServe and its workers, and exits with 0.
set -eu
# shellcheck disable=SC2086 - TORCHSERVE_OPTIONS may contain several options, such as --disable-token-auth
exec python -m lightmeter.serve.torchserve.supervisor config.properties archives ${TORCHSERVE_OPTIONS:-}

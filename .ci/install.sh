#!/usr/bin/env bash
# Install the given extras or dependency group into .venv, at the versions of constraints.txt. Uses uv, and pip if uv fails.
set -euo pipefail
cd "$(dirname "$0")/.."

case $1 in
    --group) arguments=("$@") ;;
    *) arguments=(--editable "$1") ;;
esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --constraint constraints.txt "${arguments[@]}" 2>"$log" && exit 0
echo "  uv failed, trying pip (uv's message follows if pip fails too)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "${arguments[@]}" && exit 0
cat "$log" >&2
exit 1

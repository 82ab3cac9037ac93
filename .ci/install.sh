#!/usr/bin/env bash
# Install what is asked for into .venv, at the versions of constraints.txt: with uv, and with pip where only pip knows the way.
set -euo pipefail
cd "$(dirname "$0")/.."

case $1 in
    --group) arguments=("$@") ;;
    *) arguments=(--editable "$1") ;;
esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --constraint constraints.txt "${arguments[@]}" 2>"$log" && exit 0
echo "  uv could not (its message is below if pip cannot either); trying pip"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "${arguments[@]}" && exit 0
cat "$log" >&2
exit 1

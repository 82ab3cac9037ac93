#!/usr/bin/env bash
# Install the given extras or dependency group into .venv, at the versions of constraints.txt. Uses uv, and pip if uv fails.
set -euo pipefail
cd "$(dirname "$0")/.."

case $1 in
    --group) arguments=("$@") ;;
    *) arguments=(--editable "$1") ;;
esac

compiled=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --constraint constraints.txt "${arguments[@]}" 2>"$log"; then
    # As pip does. A sandboxed job may not write bytecode: it would compile some 500 modules again, nearly two seconds of each job.
    site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    for name in ray mlflow sklearn scipy pandas numpy matplotlib mpl_toolkits PIL skops xgboost lightgbm sqlalchemy git pyparsing; do
        [ ! -d "$site/$name" ] || compiled+=("$site/$name")
    done
    # Some templates among the files are no Python.
    .venv/bin/python -m compileall -qq -j 0 -x /tests/ "${compiled[@]}" || true
    exit 0
fi
echo "  uv failed, trying pip (uv's message follows if pip fails too)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "${arguments[@]}" && exit 0
cat "$log" >&2
exit 1

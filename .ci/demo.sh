#!/usr/bin/env bash
# Train an example, deploy it, predict. Leaves the platform running. Options are those of `raylift up`.
set -euo pipefail
cd "$(dirname "$0")/.."

script=examples/training_scripts/sklearn_classification.py
started=$(raylift up "$@" --output json)
url() { python -c 'import json, sys; print(json.loads(sys.argv[1])["urls"][sys.argv[2]])' "$started" "$1"; }
RAYLIFT_URL=$(url api)
export RAYLIFT_URL

echo
echo "\$ raylift train $script --experiment demo --model demo --follow"
raylift train "$script" --experiment demo --model demo --follow

echo
echo "\$ raylift predict demo --proba --inputs '{\"feature_0\": [0.5, -1.2], …, \"feature_19\": [0.5, -1.2]}'"
inputs=$(python -c 'import json; print(json.dumps({f"feature_{i}": [0.5, -1.2] for i in range(20)}))')
raylift predict demo --proba --inputs "$inputs"

cat <<END

The model answers at $RAYLIFT_URL/mlops/inference. Try it:

  curl -X POST $RAYLIFT_URL/mlops/inference -H 'Content-Type: application/json' \\
    -d '{"model_name": "demo", "inputs": {$(python -c 'print(", ".join(f"\"feature_{i}\": [0.5]" for i in range(20)))')}}'

Console        $RAYLIFT_URL/console/
API and docs   $RAYLIFT_URL/docs
Ray dashboard  $(url ray_dashboard)
MLflow         $(url mlflow)
Everything     .venv/bin/raylift status
Stop           make down
END

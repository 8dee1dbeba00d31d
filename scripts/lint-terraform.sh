#!/usr/bin/env bash
# fmt, validate, tflint, checkov. The two tools come from their registries, pinned, into a cache.
set -euo pipefail
cd "$(dirname "$0")/.."
TFLINT=0.64.0
CHECKOV=3.3.30
cache=${XDG_CACHE_HOME:-$HOME/.cache}/content-processor/terraform-lint

terraform fmt -check -recursive -diff terraform
scripts/terraform-offline.sh validate -no-color

if ! [ -x "$cache/tflint-$TFLINT/tflint" ]; then
  echo "building tflint $TFLINT (minutes, once)"
  GOBIN=$cache/tflint-$TFLINT go install "github.com/terraform-linters/tflint@v$TFLINT"
fi
"$cache/tflint-$TFLINT/tflint" --chdir=terraform

# The mark is written last: half an installation is none.
if ! [ -f "$cache/checkov-$CHECKOV/installed" ]; then
  rm -rf "$cache/checkov-$CHECKOV"
  python3 -m venv "$cache/checkov-$CHECKOV"
  "$cache/checkov-$CHECKOV/bin/pip" install --quiet --disable-pip-version-check "checkov==$CHECKOV"
  touch "$cache/checkov-$CHECKOV/installed"
fi
"$cache/checkov-$CHECKOV/bin/checkov" --directory terraform --config-file terraform/.checkov.yaml

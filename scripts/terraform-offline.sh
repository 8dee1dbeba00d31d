#!/usr/bin/env bash
# terraform COMMAND… on a copy of terraform/, with a provider that knows google's schema and nothing else: no registry, no
# account. The copy keeps the lock file of that provider out of the tree. TERRAFORM_SOURCE names another folder to copy.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if ! command -v terraform > /dev/null; then
  echo 'terraform is not on PATH: https://developer.hashicorp.com/terraform/install (1.11 or newer)' >&2
  exit 3
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=${TERRAFORM_SOURCE:-$root/terraform}
support=$root/test/support/terraform
version=$(node -p "require('$support/schema.json').version")
platform=$(terraform version -json | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).platform')

mirror=$work/mirror/registry.terraform.io/hashicorp/google/$version/$platform
mkdir -p "$mirror" "$work/terraform"
printf '#!/bin/sh\nexec node "%s/provider.mjs"\n' "$support" > "$mirror/terraform-provider-google_v$version"
chmod +x "$mirror/terraform-provider-google_v$version"
cp -R "$source"/*.tf "$source/environments" "$source/tests" "$work/terraform/"

export TF_DISABLE_PLUGIN_TLS=1 TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE=/dev/null
cd "$work/terraform"
terraform init -backend=false -input=false -plugin-dir="$work/mirror" > "$work/init.log" 2>&1 || {
  cat "$work/init.log" >&2
  exit 1
}
terraform "$@"

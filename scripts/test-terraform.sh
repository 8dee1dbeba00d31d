#!/usr/bin/env bash
# terraform's own tests, with each environment's values too; and twins: a change that must be noticed is noticed.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/terraform-offline.sh test -no-color
for environment in dev staging prod; do
  scripts/terraform-offline.sh test -no-color -test-directory=tests/environments -var-file="environments/$environment.tfvars"
done

twin=$(mktemp -d)
trap 'rm -rf "$twin"' EXIT
# what command file from to
notices() {
  local what=$1 command=$2 file=$3 from=$4 to=$5
  rm -rf "$twin/terraform"
  cp -R terraform "$twin/terraform"
  # shellcheck disable=SC2016 # the ${} are JavaScript's
  FROM=$from TO=$to node -e '
    const fs = require("fs"), file = process.argv[1], text = fs.readFileSync(file, "utf8");
    if (!text.includes(process.env.FROM)) throw new Error(`${file} has no ${process.env.FROM}`);
    fs.writeFileSync(file, text.replace(process.env.FROM, process.env.TO));' "$twin/terraform/$file"
  # shellcheck disable=SC2086 # a command and its options
  if TERRAFORM_SOURCE=$twin/terraform scripts/terraform-offline.sh $command -no-color > "$twin/log" 2>&1; then
    echo "the twin passes, so the check cannot fail: $what" >&2
    exit 1
  fi
  echo "noticed: $what"
}
notices 'an argument that google does not have' validate pubsub.tf ack_deadline_seconds ack_deadline_second
notices 'a value that google does not take' validate cloud_run_jobs.tf PRIVATE_RANGES_ONLY PRIVATE
notices 'another ack deadline' 'test -filter=tests/pubsub.tftest.hcl' pubsub.tf 'ack_deadline_seconds = 30' 'ack_deadline_seconds = 31'
notices 'a role too many' 'test -filter=tests/iam.tftest.hcl' environment.tf 'bridge_secrets = local.temporal_secrets' 'bridge_secrets = local.worker_secrets'
notices 'a setting that goes astray' 'test -filter=tests/processes.tftest.hcl' environment.tf PUBSUB_DLQ_TOPIC PUBSUB_DEAD_TOPIC
# shellcheck disable=SC2016 # terraform expands it
notices 'the deployer of another environment' 'test -filter=tests/validation.tftest.hcl' variables.tf 'endswith(member, ":environment:${var.environment}")' 'endswith(member, "")'
notices 'an alert that goes astray' 'test -filter=tests/monitoring.tftest.hcl' monitoring.tf '    rejections = {' '    rejected = {'
echo 'terraform: all tests and twins done'

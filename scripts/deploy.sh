#!/usr/bin/env bash
# Brings one image to one environment: the image changes, everything else is terraform's.
#
#   scripts/deploy.sh migrate ENV IMAGE BUILD_ID   runs the migrations with it, as their own job, and waits for their end
#   scripts/deploy.sh pool    ENV IMAGE BUILD_ID   a worker pool of this build, a copy of the pattern pool; in place
#                                                  where the pattern has WORKER_VERSIONING=0
#   scripts/deploy.sh bridge  ENV IMAGE BUILD_ID   the job that the scheduler starts uses it from its next run on
#   scripts/deploy.sh retire  ENV IMAGE BUILD_ID   deletes the pool of a build that has no open run any more
#
# ENV is dev, staging or prod; IMAGE is named by its digest (…@sha256:…), so that what was tested is what runs.
# GOOGLE_CLOUD_PROJECT; REGION (us-central1); WORKER_INSTANCES (2); for retire TEMPORAL_* as `npm run rollout` reads them.
# Exit: gcloud's own; 2 for wrong arguments; for retire the rollout's, 4 when not yet.
set -euo pipefail
cd "$(dirname "$0")/.."

refuse() {
  echo "deploy.sh: $1" >&2
  exit 2
}

[ $# -eq 4 ] || refuse 'migrate|pool|bridge|retire ENV IMAGE@sha256:… BUILD_ID'
verb=$1 env=$2 image=$3 build_id=$4
instances=${WORKER_INSTANCES:-2}
[[ $env =~ ^(dev|staging|prod)$ ]] || refuse "'$env' is none of dev, staging, prod"
[[ $image =~ ^[a-z0-9][a-z0-9._/-]+@sha256:[0-9a-f]{64}$ ]] || refuse "'$image' names no image by its digest"
[[ $build_id =~ ^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$ ]] || refuse "'$build_id' is no build id"
[[ $instances =~ ^[1-9][0-9]{0,2}$ ]] || refuse "WORKER_INSTANCES is '$instances', and no number from 1 to 999"
[ -n "${GOOGLE_CLOUD_PROJECT:-}" ] || refuse 'GOOGLE_CLOUD_PROJECT is not set'

# By environment, since `worker-pools replace` takes no --region. It is there from the CLI's 528 on; beta, since that is
# where all versions since then have it.
export CLOUDSDK_CORE_PROJECT=$GOOGLE_CLOUD_PROJECT CLOUDSDK_RUN_REGION=${REGION:-us-central1}
export CLOUDSDK_CORE_DISABLE_PROMPTS=1
job=$env-vividly-content-worker
migrations=$env-vividly-content-migrate
pattern=$env-vividly-content-pool

case $verb in
  migrate)
    gcloud run jobs update "$migrations" --image="$image"
    gcloud run jobs execute "$migrations" --wait
    ;;
  pool)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    gcloud beta run worker-pools describe "$pattern" --format=export >"$folder/pattern.yaml"
    node --import tsx scripts/pool-manifest.ts "$pattern-$build_id" "$image" "$instances" \
      <"$folder/pattern.yaml" >"$folder/pool.yaml"
    gcloud beta run worker-pools replace "$folder/pool.yaml"
    ;;
  bridge)
    gcloud run jobs update "$job" --image="$image"
    ;;
  retire)
    # Temporal says when: a run whose pool is gone would wait for ever.
    npm run --silent rollout -- drained "$build_id"
    gcloud beta run worker-pools delete "$pattern-$build_id"
    ;;
  *) refuse "'$verb' is none of migrate, pool, bridge, retire" ;;
esac

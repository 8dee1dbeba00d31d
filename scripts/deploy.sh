#!/usr/bin/env bash
# Brings one image to one environment: the image changes, everything else is terraform's.
#
#   scripts/deploy.sh migrate ENV IMAGE BUILD_ID   runs the migrations with it, as their own job, and waits for their end
#   scripts/deploy.sh pool    ENV IMAGE BUILD_ID   a worker pool of this build, a copy of the pattern pool; in place
#                                                  where the pattern has WORKER_VERSIONING=0
#   scripts/deploy.sh bridge  ENV IMAGE BUILD_ID   the job that the scheduler starts uses it from its next run on
#   scripts/deploy.sh follow  ENV                  the same, with the image of the build that is current
#   scripts/deploy.sh note    ENV FILE             writes down which build is current, and the bridge's image
#   scripts/deploy.sh back    ENV BUILD_ID FILE    takes the new runs from the build, and puts back what was noted
#   scripts/deploy.sh retire  ENV BUILD_ID         deletes the pool of a build that has no open run any more
#   scripts/deploy.sh sweep   ENV                  retires each such pool but that of the build before
#
# ENV is dev, staging or prod; IMAGE is named by its digest (…@sha256:…), so that what was tested is what runs.
# GOOGLE_CLOUD_PROJECT; REGION (us-central1); WORKER_INSTANCES (2); from `follow` on TEMPORAL_* as `npm run rollout` reads them.
# Exit: gcloud's own; 2 for wrong arguments; the rollout's, for retire 4 when not yet.
set -euo pipefail
cd "$(dirname "$0")/.."

refuse() {
  echo "deploy.sh: $1" >&2
  exit 2
}

readonly VERBS='migrate, pool, bridge, follow, note, back, retire, sweep'
verb=${1:-} env=${2:-} image='' build_id='' file=''
case $verb in
  migrate | pool | bridge) [ $# -eq 4 ] || refuse "$verb ENV IMAGE@sha256:… BUILD_ID" && image=$3 build_id=$4 ;;
  back) [ $# -eq 4 ] || refuse 'back ENV BUILD_ID FILE' && build_id=$3 file=$4 ;;
  note) [ $# -eq 3 ] || refuse 'note ENV FILE' && file=$3 ;;
  retire) [ $# -eq 3 ] || refuse 'retire ENV BUILD_ID' && build_id=$3 ;;
  follow | sweep) [ $# -eq 2 ] || refuse "$verb ENV" ;;
  *) refuse "'$verb' is none of $VERBS" ;;
esac
instances=${WORKER_INSTANCES:-2}
by_digest='^[a-z0-9][a-z0-9._/-]+@sha256:[0-9a-f]{64}$'
# BUILD_ID of src/config.ts, which terraform/monitoring.tf knows pools by, too.
form='^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$'
[[ $env =~ ^(dev|staging|prod)$ ]] || refuse "'$env' is none of dev, staging, prod"
[[ -z $image || $image =~ $by_digest ]] || refuse "'$image' names no image by its digest"
[[ -z $build_id || $build_id =~ $form ]] || refuse "'$build_id' is no build id"
[[ $instances =~ ^[1-9][0-9]{0,2}$ ]] || refuse "WORKER_INSTANCES is '$instances', and no number from 1 to 999"
[ -n "${GOOGLE_CLOUD_PROJECT:-}" ] || refuse 'GOOGLE_CLOUD_PROJECT is not set'

# By environment, since `worker-pools replace` takes no --region. It is there from the CLI's 528 on; beta, since that is
# where all versions since then have it.
export CLOUDSDK_CORE_PROJECT=$GOOGLE_CLOUD_PROJECT CLOUDSDK_RUN_REGION=${REGION:-us-central1}
export CLOUDSDK_CORE_DISABLE_PROMPTS=1
job=$env-vividly-content-worker
migrations=$env-vividly-content-migrate
pattern=$env-vividly-content-pool

# Exit 6, and `null`: no build has ever polled, as before the very first deployment.
rollout_status() {
  local code=0
  npm run --silent rollout -- status --json || code=$?
  [ "$code" -eq 6 ] || return "$code"
}
ask() { node --import tsx scripts/rollout-status.ts "$@"; }

bridge_image() {
  gcloud run jobs describe "$job" --format='value(spec.template.spec.template.spec.containers[0].image)'
}

# Temporal says when: a run whose pool is gone would wait for ever.
retire() {
  npm run --silent rollout -- drained "$1" && gcloud beta run worker-pools delete "$pattern-$1"
}

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
  follow)
    # Of the pool itself, so that nobody has to know which image a build has.
    seen=$(rollout_status)
    current=$(ask current <<<"$seen")
    [ -n "$current" ] || refuse 'no build is current'
    image=$(gcloud beta run worker-pools describe "$pattern-$current" \
      --format='value(spec.template.spec.containers[0].image)')
    [[ $image =~ $by_digest ]] || refuse "the pool of $current has '$image', which names no image by its digest"
    gcloud run jobs update "$job" --image="$image"
    ;;
  note)
    seen=$(rollout_status)
    current=$(ask current <<<"$seen")
    image=$(bridge_image)
    printf '%s\n' "$current" "$image" >"$file"
    ;;
  back)
    { read -r current && read -r image; } <"$file" || refuse "$file is no note"
    # The bridge first: it must not start runs of a kind that the build before does not know. Where that fails, the new
    # runs are taken back all the same.
    status=0
    [ "$(bridge_image)" = "$image" ] || gcloud run jobs update "$job" --image="$image" || status=$?
    seen=$(rollout_status)
    gets=$(ask gets "$build_id" <<<"$seen")
    # Where it gets none, somebody else's ramp is left alone.
    if [ "$gets" = no ]; then
      echo "$build_id gets no new runs"
    elif [ -z "$current" ] || [ "$current" = "$build_id" ]; then
      echo "$build_id keeps the new runs: no other build was current before" >&2
    else
      npm run --silent rollout -- promote "$current"
    fi
    exit "$status"
    ;;
  retire)
    retire "$build_id"
    ;;
  sweep)
    seen=$(rollout_status)
    over=$(ask over <<<"$seen")
    # Temporal remembers builds for longer than Cloud Run has their pools.
    # Without --region it lists those of all regions, whatever the environment says.
    pools=$(gcloud beta run worker-pools list --region="$CLOUDSDK_RUN_REGION" --format='value(metadata.name)')
    status=0
    for each in $over; do
      grep --quiet --line-regexp --fixed-strings "$pattern-$each" <<<"$pools" || continue
      # 4: somebody has moved runs to it meanwhile.
      retire "$each" || { code=$? && [ "$code" -eq 4 ] || status=$code; }
    done
    exit "$status"
    ;;
esac

#!/usr/bin/env bash
# To be sourced: exports what of TEMPORAL_* is secret, and in a job of GitHub hands it to the steps after this one.
#
#   TEMPORAL_SECRETS   variable=secret, by blanks, as terraform's output temporal_secrets has it:
#                      TEMPORAL_API_KEY=dev-vividly-temporal-api-key; nothing where Temporal asks for nothing
#   GOOGLE_CLOUD_PROJECT
export_temporal_secrets() {
  local each name value line
  local known='^TEMPORAL_(API_KEY|TLS_(CLIENT_CERT|CLIENT_KEY|SERVER_CA_CERT)_DATA)=[A-Za-z0-9_-]+$'
  for each in ${TEMPORAL_SECRETS:-}; do
    if ! [[ $each =~ $known ]]; then
      echo "temporal-secrets.sh: '$each' is no secret of Temporal's" >&2
      return 2
    fi
    name=${each%%=*}
    value=$(gcloud secrets versions access latest --secret="${each#*=}" --project="$GOOGLE_CLOUD_PROJECT") || return
    export "$name=$value"
    if [ -n "${GITHUB_ENV:-}" ]; then
      # A mask is of one line, and a certificate has many.
      while IFS= read -r line; do
        if [ -n "$line" ]; then echo "::add-mask::$line"; fi
      done <<<"$value"
      printf '%s<<END-OF-SECRET\n%s\nEND-OF-SECRET\n' "$name" "$value" >>"$GITHUB_ENV"
    fi
  done
}
export_temporal_secrets

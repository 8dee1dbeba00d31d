# Containers only. A version is put by hand, from standard input: no value of a secret comes near terraform's state, plan
# or variables.
#   gcloud secrets versions add dev-vividly-database-url --data-file=-
locals {
  # process -> the keys that it reads. The pipeline speaks to Temporal: it ramps versions and asks for the smoke test's run.
  secrets_of = {
    bridge   = values(local.bridge_secrets)
    worker   = concat(values(local.worker_secrets), local.database_files)
    migrate  = concat(values(local.migrate_secrets), local.database_files)
    deployer = local.has_deployer ? values(local.temporal_secrets) : []
  }

  secret_keys = toset(flatten(values(local.secrets_of)))

  secret_readers = merge([
    for process, keys in local.secrets_of : {
      for key in keys : "${process}/${key}" => { process = process, key = key }
    }
  ]...)

  # A number makes a rotation a reviewed change, and a rollback real; latest is for where nobody depends on it.
  secret_version = { for key in local.secret_keys : key => lookup(var.secret_versions, key, "latest") }
}

resource "google_secret_manager_secret" "content" {
  for_each = local.secret_keys

  secret_id = "${local.prefix}-${each.value}"
  # A version that was destroyed by mistake can be had back for a week.
  version_destroy_ttl = "604800s"

  replication {
    auto {}
  }
  # Another temporal.auth or ssl_mode makes one of them needless here, while a build's pool, a copy outside of terraform,
  # still reads it, and a worker whose secret is gone does not start: docs/runbook.md, Rotate a secret.
  lifecycle {
    prevent_destroy = true
  }
  depends_on = [google_project_service.enabled]
}

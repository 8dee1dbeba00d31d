# What each process is told: setting -> value, and setting -> the key of its secret. The plan's eight variables are all
# here, each with the processes that use it: the bridge never speaks PostgreSQL, so DATABASE_URL is not the job's.
# BUILD_ID, COMMIT_SHA and WORKER_WORKFLOW_BUNDLE are the image's own.
locals {
  common_env = {
    GOOGLE_CLOUD_PROJECT = var.project_id
    DEBUG                = var.debug ? "True" : "False"
  }

  # Cloud Run kills a container at its limit of memory; V8 must collect before that. The rest is Temporal's native part.
  heap_of = {
    for process, memory in { bridge = var.bridge.memory, worker = var.worker.memory, migrate = "1Gi" } :
    process => { NODE_OPTIONS = "--max-old-space-size=${floor(tonumber(trimsuffix(memory, "Gi")) * 1024 * 3 / 4)}" }
  }

  temporal_env = merge(
    {
      TEMPORAL_ADDRESS    = var.temporal.address
      TEMPORAL_NAMESPACE  = var.temporal.namespace
      TEMPORAL_TASK_QUEUE = var.temporal.task_queue
      TEMPORAL_TLS        = var.temporal.auth == "plaintext" ? "false" : "true"
    },
    var.temporal.server_name == null ? {} : { TEMPORAL_TLS_SERVER_NAME = var.temporal.server_name },
  )

  temporal_secrets = merge(
    var.temporal.auth == "api_key" ? { TEMPORAL_API_KEY = "temporal-api-key" } : {},
    var.temporal.auth == "mtls" ? {
      TEMPORAL_TLS_CLIENT_CERT_DATA = "temporal-client-cert"
      TEMPORAL_TLS_CLIENT_KEY_DATA  = "temporal-client-key"
    } : {},
    var.temporal.server_ca ? { TEMPORAL_TLS_SERVER_CA_CERT_DATA = "temporal-server-ca" } : {},
  )

  bridge_env = merge(
    local.common_env,
    local.heap_of.bridge,
    local.temporal_env,
    {
      PUBSUB_TOPIC                = google_pubsub_topic.requests.name
      PUBSUB_SUBSCRIPTION         = google_pubsub_subscription.requests.name
      PUBSUB_DLQ_TOPIC            = google_pubsub_topic.dead_letters.name
      PUBSUB_DLQ_SUBSCRIPTION     = google_pubsub_subscription.dead_letters.name
      CORS_ORIGINS                = join(",", var.cors_origins)
      BRIDGE_ACK_DEADLINE_SECONDS = tostring(local.ack_deadline_seconds)
      # A minute below the task's timeout: the platform never has to kill it.
      BRIDGE_MAX_RUNTIME_MS = tostring((var.bridge.timeout_seconds - 60) * 1000)
    },
    var.bridge.settings,
  )
  bridge_secrets = local.temporal_secrets

  vertex = var.generator.kind == "gemini" && !var.generator.gemini_api_key

  worker_env = merge(
    local.common_env,
    local.heap_of.worker,
    local.temporal_env,
    {
      ALGORITHM              = var.algorithm
      CORS_ORIGINS           = join(",", var.cors_origins)
      GENERATOR              = var.generator.kind
      WORKER_VERSIONING      = var.worker.versioning ? "1" : "0"
      WORKER_DEPLOYMENT_NAME = "content-worker"
    },
    var.generator.kind == "gemini" ? { GEMINI_MODEL = var.generator.gemini_model } : {},
    local.vertex ? { GEMINI_LOCATION = coalesce(var.generator.gemini_location, var.region) } : {},
    var.generator.kind == "http" ? { GENERATOR_URL = var.generator.url } : {},
    var.worker.settings,
  )
  worker_secrets = merge(
    local.temporal_secrets,
    {
      DATABASE_URL = "database-url"
      SECRET_KEY   = "secret-key"
    },
    var.generator.kind == "gemini" && var.generator.gemini_api_key ? { GEMINI_API_KEY = "provider-api-key" } : {},
  )

  migrate_env = merge(
    local.common_env,
    local.heap_of.migrate,
    # The worker has a user of its own, which owns no table.
    { MIGRATE_GRANT_TO = var.database.worker_user },
  )
  migrate_secrets = { DATABASE_URL = "migrate-database-url" }

  # Files that DATABASE_URL names. Cloud SQL's certificate names the instance and never an IP address, so its own authority
  # is what is verified: sslmode=verify-ca&sslrootcert=FILE.
  database_files = concat(
    ["database-server-ca"],
    var.database.ssl_mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED" ? ["database-client-cert", "database-client-key"] : [],
  )
  database_file_paths = { for key in local.database_files : key => "/secrets/${key}/${key}.pem" }

  database_url_parameters = join("&", concat(
    ["sslmode=verify-ca", "sslrootcert=${local.database_file_paths["database-server-ca"]}"],
    contains(local.database_files, "database-client-key") ? [
      "sslcert=${local.database_file_paths["database-client-cert"]}",
      "sslkey=${local.database_file_paths["database-client-key"]}",
    ] : [],
  ))
}

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  environment  = "dev"
  project_id   = "vividly-dev-rich"
  cors_origins = ["http://localhost:3000"]
  runbook_url  = "https://example.com/docs/runbook.md"
  debug        = true
  temporal = {
    address = "temporal.example:7233"
    auth    = "api_key"
  }
}

run "processes" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.content_worker.name == "dev-vividly-content-worker" && google_cloud_run_v2_job.content_worker.location == "us-central1" && !google_cloud_run_v2_job.content_worker.deletion_protection
    error_message = "the job has the plan's name, and may be destroyed as the plan does"
  }

  assert {
    condition     = google_cloud_run_v2_job.content_worker.template[0].template[0].max_retries == 0 && google_cloud_run_v2_job.content_worker.template[0].template[0].timeout == "600s" && google_cloud_run_v2_job.content_worker.template[0].task_count == 1 && google_cloud_run_v2_job.content_worker.template[0].parallelism == 1
    error_message = "one task, 600 s, no retries"
  }

  assert {
    condition     = google_cloud_run_v2_job.content_worker.template[0].template[0].service_account == google_service_account.bridge.email && google_cloud_run_v2_job.content_migrate.template[0].template[0].service_account == google_service_account.migrate.email && google_cloud_run_v2_worker_pool.content_worker.template[0].service_account == google_service_account.worker.email
    error_message = "each runs as its own account"
  }

  assert {
    condition     = { for e in google_cloud_run_v2_job.content_worker.template[0].template[0].containers[0].env : e.name => e.value if e.value != null } == { GOOGLE_CLOUD_PROJECT = "vividly-dev-rich", DEBUG = "True", NODE_OPTIONS = "--max-old-space-size=768", TEMPORAL_ADDRESS = "temporal.example:7233", TEMPORAL_NAMESPACE = "default", TEMPORAL_TASK_QUEUE = "content-generation", TEMPORAL_TLS = "true", PUBSUB_TOPIC = "content-generation-requests", PUBSUB_SUBSCRIPTION = "content-generation-sub", PUBSUB_DLQ_TOPIC = "content-generation-dlq", PUBSUB_DLQ_SUBSCRIPTION = "content-generation-dlq-sub", CORS_ORIGINS = "http://localhost:3000", BRIDGE_ACK_DEADLINE_SECONDS = "30", BRIDGE_MAX_RUNTIME_MS = "540000" }
    error_message = "the bridge is told this, and nothing else"
  }

  assert {
    condition     = { for e in google_cloud_run_v2_job.content_worker.template[0].template[0].containers[0].env : e.name => e.value_source[0].secret_key_ref[0].secret if length(e.value_source) > 0 } == { TEMPORAL_API_KEY = "dev-vividly-temporal-api-key" }
    error_message = "of secrets the bridge has Temporal's only"
  }

  assert {
    condition     = { for e in google_cloud_run_v2_worker_pool.content_worker.template[0].containers[0].env : e.name => e.value if e.value != null } == { GOOGLE_CLOUD_PROJECT = "vividly-dev-rich", DEBUG = "True", NODE_OPTIONS = "--max-old-space-size=768", TEMPORAL_ADDRESS = "temporal.example:7233", TEMPORAL_NAMESPACE = "default", TEMPORAL_TASK_QUEUE = "content-generation", TEMPORAL_TLS = "true", ALGORITHM = "HS256", CORS_ORIGINS = "http://localhost:3000", GENERATOR = "template", WORKER_VERSIONING = "1", WORKER_DEPLOYMENT_NAME = "content-worker" }
    error_message = "the worker is told this, and nothing else"
  }

  assert {
    condition     = { for e in google_cloud_run_v2_worker_pool.content_worker.template[0].containers[0].env : e.name => e.value_source[0].secret_key_ref[0].secret if length(e.value_source) > 0 } == { TEMPORAL_API_KEY = "dev-vividly-temporal-api-key", DATABASE_URL = "dev-vividly-database-url", SECRET_KEY = "dev-vividly-secret-key" }
    error_message = "the worker's secrets"
  }

  assert {
    condition     = google_cloud_run_v2_job.content_migrate.name == "dev-vividly-content-migrate" && { for e in google_cloud_run_v2_job.content_migrate.template[0].template[0].containers[0].env : e.name => e.value_source[0].secret_key_ref[0].secret if length(e.value_source) > 0 } == { DATABASE_URL = "dev-vividly-migrate-database-url" }
    error_message = "migrations have a user of their own"
  }

  assert {
    condition     = { for e in google_cloud_run_v2_job.content_migrate.template[0].template[0].containers[0].env : e.name => e.value if e.value != null } == { GOOGLE_CLOUD_PROJECT = "vividly-dev-rich", DEBUG = "True", NODE_OPTIONS = "--max-old-space-size=768", MIGRATE_GRANT_TO = "content_worker" }
    error_message = "migrations are told this, and nothing else"
  }

  assert {
    condition     = google_cloud_run_v2_job.content_worker.template[0].template[0].containers[0].args == tolist(["bridge"]) && google_cloud_run_v2_job.content_migrate.template[0].template[0].containers[0].args == tolist(["migrate"]) && google_cloud_run_v2_worker_pool.content_worker.template[0].containers[0].args == tolist(["PORT=8080", "content-worker", "worker"])
    error_message = "each runs its own process of the image"
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.content_worker.name == "dev-vividly-content-pool" && google_cloud_run_v2_worker_pool.content_worker.scaling[0].manual_instance_count == 0
    error_message = "the pattern runs nothing"
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.content_worker.template[0].containers[0].liveness_probe[0].http_get[0].path == "/health" && google_cloud_run_v2_worker_pool.content_worker.template[0].containers[0].startup_probe[0].http_get[0].path == "/health"
    error_message = "readiness is no liveness"
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.content_worker.template[0].containers[0].resources[0].limits.memory == "1Gi" && google_cloud_run_v2_job.content_worker.template[0].template[0].containers[0].resources[0].limits.memory == "1Gi"
    error_message = "memory fits the heap"
  }

  assert {
    condition     = google_cloud_run_v2_job.content_worker.template[0].template[0].containers[0].image == "us-central1-docker.pkg.dev/vividly-dev-rich/vividly/content-worker:latest"
    error_message = "the image of the plan"
  }

  assert {
    condition     = google_cloud_run_v2_job.content_worker.template[0].template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY" && length(google_cloud_run_v2_job.content_worker.template[0].template[0].vpc_access[0].network_interfaces) == 1
    error_message = "direct egress"
  }

  assert {
    condition     = google_cloud_scheduler_job.content_worker.name == "dev-vividly-content-worker-schedule" && google_cloud_scheduler_job.content_worker.schedule == "* * * * *" && google_cloud_scheduler_job.content_worker.http_target[0].uri == "https://run.googleapis.com/v2/projects/vividly-dev-rich/locations/us-central1/jobs/dev-vividly-content-worker:run"
    error_message = "the schedule runs the job every minute"
  }

  assert {
    condition     = length(google_cloud_scheduler_job.content_worker.pubsub_target) == 0 && google_cloud_scheduler_job.content_worker.http_target[0].oauth_token[0].service_account_email == google_service_account.scheduler.email
    error_message = "and publishes nothing"
  }
}

run "mtls" {
  command = plan

  variables {
    temporal = { address = "a:7233", auth = "mtls" }
  }

  assert {
    condition     = toset([for e in google_cloud_run_v2_job.content_worker.template[0].template[0].containers[0].env : e.name if length(e.value_source) > 0]) == toset(["TEMPORAL_TLS_CLIENT_CERT_DATA", "TEMPORAL_TLS_CLIENT_KEY_DATA"])
    error_message = "mTLS by two secrets"
  }
}

run "connector" {
  command = plan

  variables {
    network = { egress = "connector" }
  }

  assert {
    condition     = length(google_cloud_run_v2_job.content_worker.template[0].template[0].vpc_access[0].network_interfaces) == 0 && google_vpc_access_connector.content[0].name == "dev-vividly-content"
    error_message = "egress by a connector"
  }
}

run "unversioned" {
  command = plan

  variables {
    worker = { versioning = false, instances = 2 }
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.content_worker.scaling[0].manual_instance_count == 2
    error_message = "two instances"
  }
}

run "sizes" {
  command = plan

  variables {
    bridge = { cpu = "4", memory = "2Gi" }
    worker = { cpu = "8", memory = "4Gi" }
  }

  assert {
    condition     = { for process, env in { bridge = google_cloud_run_v2_job.content_worker.template[0].template[0].containers[0].env, worker = google_cloud_run_v2_worker_pool.content_worker.template[0].containers[0].env } : process => [for e in env : e.value if e.name == "NODE_OPTIONS"] } == { bridge = ["--max-old-space-size=1536"], worker = ["--max-old-space-size=3072"] }
    error_message = "three quarters of the memory are V8's"
  }
}

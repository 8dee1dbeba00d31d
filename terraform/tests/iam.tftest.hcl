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

run "least_roles" {
  command = plan

  assert {
    condition     = google_service_account.bridge.account_id == "dev-content-bridge" && google_service_account.worker.account_id == "dev-content-worker" && google_service_account.migrate.account_id == "dev-content-migrate" && google_service_account.scheduler.account_id == "dev-content-scheduler"
    error_message = "a process, an account"
  }

  assert {
    condition     = google_pubsub_subscription_iam_member.bridge_pulls.role == "roles/pubsub.subscriber" && google_pubsub_subscription_iam_member.bridge_pulls.member == google_service_account.bridge.member
    error_message = "the bridge pulls"
  }

  assert {
    condition     = google_pubsub_topic_iam_member.bridge_publishes_letters.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.bridge_publishes_letters.topic == "content-generation-dlq" && google_pubsub_topic_iam_member.bridge_publishes_letters.member == google_service_account.bridge.member
    error_message = "the bridge publishes letters"
  }

  assert {
    condition     = alltrue([for each in values(google_pubsub_subscription_iam_member.bridge_looks) : each.role == "roles/pubsub.viewer" && each.member == google_service_account.bridge.member]) && google_pubsub_topic_iam_member.bridge_looks.role == "roles/pubsub.viewer"
    error_message = "the bridge's preflight looks, and no more"
  }

  assert {
    condition     = google_cloud_run_v2_job_iam_member.scheduler_runs.role == "roles/run.invoker" && google_cloud_run_v2_job_iam_member.scheduler_runs.name == "dev-vividly-content-worker" && google_cloud_run_v2_job_iam_member.scheduler_runs.member == google_service_account.scheduler.member
    error_message = "the scheduler runs the one job"
  }

  assert {
    condition     = { for key, each in google_secret_manager_secret_iam_member.reads : key => each.member } == { "bridge/temporal-api-key" = google_service_account.bridge.member, "worker/temporal-api-key" = google_service_account.worker.member, "worker/database-url" = google_service_account.worker.member, "worker/secret-key" = google_service_account.worker.member, "worker/database-server-ca" = google_service_account.worker.member, "migrate/migrate-database-url" = google_service_account.migrate.member, "migrate/database-server-ca" = google_service_account.migrate.member }
    error_message = "each process reads its own secrets"
  }

  assert {
    condition     = alltrue([for each in values(google_secret_manager_secret_iam_member.reads) : each.role == "roles/secretmanager.secretAccessor"])
    error_message = "readers read"
  }

  assert {
    condition     = { for key, each in google_secret_manager_secret.content : key => each.secret_id }["database-url"] == "dev-vividly-database-url"
    error_message = "secrets have the environment's prefix"
  }

  assert {
    condition     = length(google_service_account.deployer) == 0 && length(google_project_iam_member.deployer) == 0 && length(google_project_iam_member.worker_generates) == 0
    error_message = "nothing is granted that nobody asked for"
  }
}

run "deployer" {
  command = plan

  variables {
    deployer = { members = ["principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/github/subject/repo:o/r:environment:dev"] }
  }

  assert {
    condition     = google_service_account.deployer[0].account_id == "dev-content-deployer"
    error_message = "the pipeline has an account"
  }

  assert {
    condition     = toset(keys(google_service_account_iam_member.deployer_acts_as)) == toset(["bridge", "worker", "migrate"])
    error_message = "it acts as the three processes"
  }

  assert {
    condition     = google_service_account_iam_member.deployer_is["principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/github/subject/repo:o/r:environment:dev"].role == "roles/iam.workloadIdentityUser"
    error_message = "it is reached without a key"
  }

  assert {
    condition     = output.temporal_secrets == "TEMPORAL_API_KEY=dev-vividly-temporal-api-key"
    error_message = "the pipeline is told which secrets it speaks to Temporal with"
  }

  assert {
    condition     = toset(keys(google_project_iam_member.deployer)) == toset(["roles/run.developer", "roles/cloudbuild.builds.editor", "roles/logging.logWriter", "roles/serviceusage.serviceUsageConsumer"])
    error_message = "its roles on the project are these"
  }

  assert {
    condition     = google_artifact_registry_repository_iam_member.deployer_pushes[0].role == "roles/artifactregistry.writer" && google_pubsub_topic_iam_member.deployer_smokes[0].role == "roles/pubsub.publisher"
    error_message = "it pushes and smokes"
  }
  assert {
    condition     = google_storage_bucket.builds[0].name == "vividly-dev-rich-content-builds" && google_storage_bucket.builds[0].public_access_prevention == "enforced" && toset(keys(google_storage_bucket_iam_member.deployer_uploads)) == toset(["roles/storage.legacyBucketReader", "roles/storage.objectAdmin"])
    error_message = "build sources go to a bucket of their own"
  }
}

run "vertex" {
  command = plan

  variables {
    generator = { kind = "gemini", gemini_model = "gemini-2.5-flash" }
  }

  assert {
    condition     = google_project_iam_member.worker_generates[0].role == "roles/aiplatform.user" && google_project_iam_member.worker_generates[0].member == google_service_account.worker.member
    error_message = "the worker may use Vertex"
  }

  assert {
    condition     = { for e in google_cloud_run_v2_worker_pool.content_worker.template[0].containers[0].env : e.name => e.value if e.value != null }["GEMINI_MODEL"] == "gemini-2.5-flash"
    error_message = "its model is told"
  }
}

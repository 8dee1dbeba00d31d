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
  deployer = {
    members = ["group:platform@example.com"]
  }
}

# docs/deploy.md, "The foundation": a test compares the targets. Terraform tells an output only when all that it is made of is
# among them.
run "foundation" {
  command = plan

  plan_options {
    target = [
      google_project_service.enabled,
      google_artifact_registry_repository.images,
      google_artifact_registry_repository_iam_member.deployer_pushes,
      google_secret_manager_secret.content,
      google_secret_manager_secret_iam_member.reads,
      google_logging_metric.alert,
      google_sql_database.content,
      data.google_sql_database_instance.existing,
      google_project_iam_member.deployer,
      google_service_account_iam_member.deployer_is,
      google_service_account_iam_member.deployer_builds_as_itself,
      google_storage_bucket_iam_member.deployer_uploads,
    ]
  }

  assert {
    condition     = output.database_instance == "dev-vividly-content" && startswith(output.database_url_form, "postgresql://USER:PASSWORD@10.20.0.3:5432/vividly_dev?sslmode=verify-ca&sslrootcert=")
    error_message = "what the database's users and URLs are made with"
  }

  assert {
    condition     = output.builds_bucket == "vividly-dev-rich-content-builds"
    error_message = "where a build's sources go"
  }

  assert {
    condition     = toset(keys(output.secrets)) == toset(["database-server-ca", "database-url", "migrate-database-url", "secret-key", "temporal-api-key"])
    error_message = "the secrets that get their versions"
  }

  assert {
    condition     = google_service_account.deployer[0].account_id == "dev-content-deployer"
    error_message = "the account that builds"
  }

  assert {
    condition     = contains(keys(google_project_service.enabled), "containeranalysis.googleapis.com") && contains(keys(google_project_service.enabled), "cloudbuild.googleapis.com")
    error_message = "the APIs of a build with provenance"
  }
}

# The deployment plan's step 4, by hand: the job, and what it is of no use without.
run "target_job" {
  command = plan

  plan_options {
    target = [google_cloud_run_v2_job.content_worker]
  }

  assert {
    condition     = google_cloud_run_v2_job.content_worker.name == "dev-vividly-content-worker"
    error_message = "the job"
  }

  assert {
    condition     = google_pubsub_subscription.requests.name == "content-generation-sub" && google_pubsub_subscription.dead_letters.name == "content-generation-dlq-sub"
    error_message = "both subscriptions, or the preflight refuses to start"
  }

  assert {
    condition     = google_pubsub_subscription_iam_member.bridge_pulls.role == "roles/pubsub.subscriber" && google_pubsub_topic_iam_member.bridge_publishes_letters.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.service_agent_forwards.role == "roles/pubsub.publisher" && google_pubsub_subscription_iam_member.service_agent_acks.role == "roles/pubsub.subscriber"
    error_message = "the rights of the bridge and of Pub/Sub's own agent"
  }

  assert {
    condition     = google_secret_manager_secret_iam_member.reads["bridge/temporal-api-key"].role == "roles/secretmanager.secretAccessor"
    error_message = "the secret that it reads"
  }

  assert {
    condition     = contains(keys(google_project_service.enabled), "run.googleapis.com") && contains(keys(google_project_service.enabled), "pubsub.googleapis.com")
    error_message = "the APIs"
  }
}

# One account for each process, and of the processes only the bridge's may touch Pub/Sub. Accounts hold roles on the one
# thing that they use; those on the project are said why.

resource "google_service_account" "bridge" {
  account_id   = "${var.environment}-content-bridge"
  display_name = "Content processor: bridge"
  description  = "Pulls requests, publishes dead letters."
  depends_on   = [google_project_service.enabled]
}

resource "google_service_account" "worker" {
  account_id   = "${var.environment}-content-worker"
  display_name = "Content processor: worker"
  description  = "Runs workflows and activities. No Pub/Sub."
  depends_on   = [google_project_service.enabled]
}

resource "google_service_account" "migrate" {
  account_id   = "${var.environment}-content-migrate"
  display_name = "Content processor: migrations"
  description  = "Changes the schema. Reads its own secrets, nothing else."
  depends_on   = [google_project_service.enabled]
}

resource "google_service_account" "scheduler" {
  account_id   = "${var.environment}-content-scheduler"
  display_name = "Content processor: scheduler"
  description  = "Starts the bridge's job, nothing else."
  depends_on   = [google_project_service.enabled]
}

# --- Pub/Sub: the bridge

resource "google_pubsub_subscription_iam_member" "bridge_pulls" {
  subscription = google_pubsub_subscription.requests.name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.bridge.member
}

resource "google_pubsub_topic_iam_member" "bridge_publishes_letters" {
  topic  = google_pubsub_topic.dead_letters.name
  role   = "roles/pubsub.publisher"
  member = google_service_account.bridge.member
}

# The preflight (src/bridge/preflight-pubsub.ts) looks at both subscriptions and at the dead-letter topic: getSubscription,
# getTopic. testIamPermissions needs no right.
resource "google_pubsub_subscription_iam_member" "bridge_looks" {
  for_each = {
    requests     = google_pubsub_subscription.requests.name
    dead_letters = google_pubsub_subscription.dead_letters.name
  }

  subscription = each.value
  role         = "roles/pubsub.viewer"
  member       = google_service_account.bridge.member
}

resource "google_pubsub_topic_iam_member" "bridge_looks" {
  topic  = google_pubsub_topic.dead_letters.name
  role   = "roles/pubsub.viewer"
  member = google_service_account.bridge.member
}

# --- Pub/Sub: its own agent, for the dead-letter policy. Google makes the account with the API; its name is fixed.

data "google_project" "this" {
  project_id = var.project_id
}

locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "service_agent_forwards" {
  topic  = google_pubsub_topic.dead_letters.name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

# It acks what it has forwarded.
resource "google_pubsub_subscription_iam_member" "service_agent_acks" {
  subscription = google_pubsub_subscription.requests.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# --- Whoever publishes requests

resource "google_pubsub_topic_iam_member" "publishers" {
  for_each = toset(var.publishers)

  topic  = google_pubsub_topic.requests.name
  role   = "roles/pubsub.publisher"
  member = each.value
}

# --- Secrets: each process reads its own

resource "google_secret_manager_secret_iam_member" "reads" {
  for_each = local.secret_readers

  secret_id = google_secret_manager_secret.content[each.value.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members[each.value.process]
}

locals {
  members = {
    bridge   = google_service_account.bridge.member
    worker   = google_service_account.worker.member
    migrate  = google_service_account.migrate.member
    deployer = one(google_service_account.deployer[*].member)
  }
}

# --- The worker's provider. Vertex has no smaller thing than the project to grant on.

resource "google_project_iam_member" "worker_generates" {
  count = local.vertex ? 1 : 0

  project = var.project_id
  role    = "roles/aiplatform.user"
  member  = google_service_account.worker.member
}

# --- The scheduler

resource "google_cloud_run_v2_job_iam_member" "scheduler_runs" {
  location = google_cloud_run_v2_job.content_worker.location
  name     = google_cloud_run_v2_job.content_worker.name
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

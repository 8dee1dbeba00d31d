# The pipeline's account, where one is asked for. No key is ever made of it: who may become it is said by
# deployer.members, as in principal://iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/
# subject/repo:OWNER/NAME:environment:prod. A job of GitHub has that subject only when its environment let it begin: for prod
# that is when a reviewer has said yes. A whole repository (attribute.repository) would be whoever may push a branch to it.
# The pool itself belongs to the organization, not to this product.
locals {
  has_deployer = length(var.deployer.members) > 0

  # Pools are made anew for each build, so neither run.developer nor the builds have anything smaller than the project.
  # Images are built where the registry is.
  deployer_project_roles = local.has_deployer ? toset(concat(
    ["roles/run.developer", "roles/serviceusage.serviceUsageConsumer"],
    local.owns_registry ? ["roles/cloudbuild.builds.editor", "roles/logging.logWriter"] : [],
  )) : toset([])
}

resource "google_service_account" "deployer" {
  count = local.has_deployer ? 1 : 0

  account_id   = "${var.environment}-content-deployer"
  display_name = "Content processor: pipeline"
  description  = "Builds, deploys by digest, runs migrations and the smoke test."
  depends_on   = [google_project_service.enabled]
}

resource "google_service_account_iam_member" "deployer_is" {
  for_each = toset(var.deployer.members)

  service_account_id = google_service_account.deployer[0].name
  role               = startswith(each.value, "principal") ? "roles/iam.workloadIdentityUser" : "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}

resource "google_project_iam_member" "deployer" {
  for_each = local.deployer_project_roles

  project = var.project_id
  role    = each.value
  member  = google_service_account.deployer[0].member
}

# To deploy a job or a pool is to act as its account: these three, and no other of the project.
resource "google_service_account_iam_member" "deployer_acts_as" {
  for_each = local.has_deployer ? {
    bridge  = google_service_account.bridge.name
    worker  = google_service_account.worker.name
    migrate = google_service_account.migrate.name
  } : {}

  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployer[0].member
}

# A build that runs as this account was started by this account.
resource "google_service_account_iam_member" "deployer_builds_as_itself" {
  count = local.has_deployer ? 1 : 0

  service_account_id = google_service_account.deployer[0].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployer[0].member
}

resource "google_artifact_registry_repository_iam_member" "deployer_pushes" {
  count = local.has_deployer && local.owns_registry ? 1 : 0

  location   = google_artifact_registry_repository.images[0].location
  repository = google_artifact_registry_repository.images[0].name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.deployer[0].member
}

# The smoke test publishes one request.
resource "google_pubsub_topic_iam_member" "deployer_smokes" {
  count = local.has_deployer ? 1 : 0

  topic  = google_pubsub_topic.requests.name
  role   = "roles/pubsub.publisher"
  member = google_service_account.deployer[0].member
}

# Where the sources of a build are uploaded to (--gcs-source-staging-dir=gs://PROJECT-content-builds/source): the bucket that
# gcloud would make by itself needs rights on every bucket of the project.
resource "google_storage_bucket" "builds" {
  count = local.has_deployer && local.owns_registry ? 1 : 0

  name                        = "${var.project_id}-content-builds"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "Delete"
    }
  }
  depends_on = [google_project_service.enabled]
}

resource "google_storage_bucket_iam_member" "deployer_uploads" {
  for_each = local.has_deployer && local.owns_registry ? toset(["roles/storage.legacyBucketReader", "roles/storage.objectAdmin"]) : toset([])

  bucket = google_storage_bucket.builds[0].name
  role   = each.value
  member = google_service_account.deployer[0].member
}

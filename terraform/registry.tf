# The image is built once, in the environment that owns the registry; the others pull the same digest from here.
resource "google_artifact_registry_repository" "images" {
  count = local.owns_registry ? 1 : 0

  repository_id = local.repository
  location      = var.region
  format        = "DOCKER"
  description   = "Content processor: one image for all processes"

  # KEEP wins over DELETE. A build has its commit as a tag and loses it to no other, so that what is deployed, or still
  # finishes its runs, is not among the untagged.
  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = var.registry.keep_versions
    }
  }
  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "${var.registry.untagged_days * 86400}s"
    }
  }
  depends_on = [google_project_service.enabled]
}

resource "google_artifact_registry_repository_iam_member" "readers" {
  for_each = local.owns_registry ? var.registry_reader_projects : toset([])

  location   = google_artifact_registry_repository.images[0].location
  repository = google_artifact_registry_repository.images[0].name
  role       = "roles/artifactregistry.reader"
  member     = "serviceAccount:service-${each.value}@serverless-robot-prod.iam.gserviceaccount.com"
}

# Whoever deploys an image must be able to read it, too.
resource "google_artifact_registry_repository_iam_member" "deployers_elsewhere" {
  for_each = local.owns_registry ? var.registry_readers : toset([])

  location   = google_artifact_registry_repository.images[0].location
  repository = google_artifact_registry_repository.images[0].name
  role       = "roles/artifactregistry.reader"
  member     = each.value
}

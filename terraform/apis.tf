locals {
  apis = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "cloudscheduler.googleapis.com",
      "compute.googleapis.com",
      # Keeps the provenance of images; without it a build fails.
      "containeranalysis.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "servicenetworking.googleapis.com",
      "serviceusage.googleapis.com",
      "sqladmin.googleapis.com",
      "storage.googleapis.com",
      "sts.googleapis.com",
    ],
    local.egress_connector ? ["vpcaccess.googleapis.com"] : [],
    local.vertex ? ["aiplatform.googleapis.com"] : [],
  ))
}

resource "google_project_service" "enabled" {
  for_each = local.apis

  project = var.project_id
  service = each.value
  # Others in the project may use it: what is destroyed here must not take an API away from them.
  disable_on_destroy         = false
  disable_dependent_services = false
}

terraform {
  # 1.11: override_during = plan in the tests, and no earlier than what they are run with.
  required_version = ">= 1.11.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.40"
    }
  }

  # One state for each environment: terraform init -backend-config=environments/dev.gcs.tfbackend
  backend "gcs" {}
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = local.labels
}

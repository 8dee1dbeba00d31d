# Terraform owns the shape of a job, the pipeline its image: gcloud run jobs update --image=…@sha256:… is no drift.

# The bridge. Run every minute (scheduler.tf), or by hand:
#   gcloud run jobs execute dev-vividly-content-worker
resource "google_cloud_run_v2_job" "content_worker" {
  name     = local.job
  location = var.region
  # Made anew in a minute, and the rollback of the deployment plan destroys it. What must not be lost is elsewhere.
  deletion_protection = false

  template {
    task_count  = var.bridge.tasks
    parallelism = var.bridge.tasks

    template {
      service_account       = google_service_account.bridge.email
      timeout               = "${var.bridge.timeout_seconds}s"
      max_retries           = 0 # the next scheduled run is the retry
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"

      containers {
        image = local.first_image
        args  = ["bridge"]

        resources {
          limits = { cpu = var.bridge.cpu, memory = var.bridge.memory }
        }

        dynamic "env" {
          for_each = local.bridge_env
          content {
            name  = env.key
            value = env.value
          }
        }
        dynamic "env" {
          for_each = local.bridge_secrets
          content {
            name = env.key
            value_source {
              secret_key_ref {
                secret  = google_secret_manager_secret.content[env.value].secret_id
                version = local.secret_version[env.value]
              }
            }
          }
        }
      }

      vpc_access {
        connector = local.connector
        egress    = "PRIVATE_RANGES_ONLY"

        dynamic "network_interfaces" {
          for_each = local.egress_connector ? [] : [local.subnetwork]
          content {
            network    = local.network_id
            subnetwork = network_interfaces.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version, template[0].template[0].containers[0].image]
  }
  # The job is of no use without these, so -target brings them along. Cloud Run itself looks whether it may read the secrets.
  depends_on = [
    google_project_service.enabled,
    google_pubsub_subscription_iam_member.bridge_looks,
    google_pubsub_subscription_iam_member.bridge_pulls,
    google_pubsub_subscription_iam_member.service_agent_acks,
    google_pubsub_topic_iam_member.bridge_looks,
    google_pubsub_topic_iam_member.bridge_publishes_letters,
    google_secret_manager_secret_iam_member.reads,
  ]
}

# Before new code, and by the pipeline: gcloud run jobs execute dev-vividly-content-migrate --wait
# With --args=migrate,--rollback it goes back.
resource "google_cloud_run_v2_job" "content_migrate" {
  name                = local.migrate_job
  location            = var.region
  deletion_protection = false

  template {
    task_count  = 1
    parallelism = 1

    template {
      service_account       = google_service_account.migrate.email
      timeout               = "${var.migrate_timeout_seconds}s"
      max_retries           = 0 # what failed is looked at first
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"

      containers {
        image = local.first_image
        args  = ["migrate"]

        resources {
          limits = { cpu = "1", memory = "1Gi" }
        }

        dynamic "env" {
          for_each = local.migrate_env
          content {
            name  = env.key
            value = env.value
          }
        }
        dynamic "env" {
          for_each = local.migrate_secrets
          content {
            name = env.key
            value_source {
              secret_key_ref {
                secret  = google_secret_manager_secret.content[env.value].secret_id
                version = local.secret_version[env.value]
              }
            }
          }
        }

        dynamic "volume_mounts" {
          for_each = local.database_files
          content {
            name       = volume_mounts.value
            mount_path = "/secrets/${volume_mounts.value}"
          }
        }
      }

      dynamic "volumes" {
        for_each = local.database_files
        content {
          name = volumes.value
          secret {
            secret = google_secret_manager_secret.content[volumes.value].secret_id
            items {
              path    = basename(local.database_file_paths[volumes.value])
              version = local.secret_version[volumes.value]
            }
          }
        }
      }

      vpc_access {
        connector = local.connector
        egress    = "PRIVATE_RANGES_ONLY"

        dynamic "network_interfaces" {
          for_each = local.egress_connector ? [] : [local.subnetwork]
          content {
            network    = local.network_id
            subnetwork = network_interfaces.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version, template[0].template[0].containers[0].image]
  }
  depends_on = [
    google_project_service.enabled,
    google_secret_manager_secret_iam_member.reads,
  ]
}

# The pattern: a build's own pool (<pattern>-<build id>) is a copy of it with another name, image and number of instances,
# made by scripts/deploy.sh pool and retired when Temporal says that its version is drained. With versions the pattern
# itself runs nothing.
locals {
  health_port = 8080
}

resource "google_cloud_run_v2_worker_pool" "content_worker" {
  name                = local.pool
  location            = var.region
  description         = "Pattern of the worker's pools: see scripts/deploy.sh"
  deletion_protection = false

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = var.worker.instances
  }

  template {
    service_account = google_service_account.worker.email

    containers {
      image = local.first_image
      # PORT is a name that Cloud Run keeps for itself, so it is no env of the container. env ends in an exec of node.
      command = ["env"]
      args    = ["PORT=${local.health_port}", "content-worker", "worker"]

      resources {
        limits = { cpu = var.worker.cpu, memory = var.worker.memory }
      }

      # /health, never /health/ready: an outage of PostgreSQL must not restart workers.
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 3
        failure_threshold = 24
        http_get {
          path = "/health"
          port = local.health_port
        }
      }
      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 4
        http_get {
          path = "/health"
          port = local.health_port
        }
      }

      dynamic "env" {
        for_each = local.worker_env
        content {
          name  = env.key
          value = env.value
        }
      }
      dynamic "env" {
        for_each = local.worker_secrets
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

  lifecycle {
    ignore_changes = [client, client_version, template[0].containers[0].image]
  }
  depends_on = [
    google_project_service.enabled,
    google_secret_manager_secret_iam_member.reads,
  ]
}

# Users are made by hand (gcloud sql users create, which asks for the password): as google_sql_user their passwords would be
# in the state. IAM database authentication would need no password, but its tokens last an hour and DATABASE_URL is read once.
locals {
  creates_database = var.database.existing_instance == null
  database_ip      = local.creates_database ? google_sql_database_instance.content[0].private_ip_address : data.google_sql_database_instance.existing[0].private_ip_address
  instance         = local.creates_database ? google_sql_database_instance.content[0].name : var.database.existing_instance

  database_flags = {
    max_connections = tostring(var.database.max_connections)
    log_checkpoints = "on"
    log_connections = "on"
    # How long each session was: leaks show here.
    log_disconnections      = "on"
    log_lock_waits          = "on"
    log_temp_files          = "0"
    log_min_messages        = "warning"
    log_min_error_statement = "error"
    log_statement           = "ddl"
    # Statements of the worker carry students' words in their parameters: none is logged for being slow, and
    # PostgreSQL logs no parameter of one that fails; terse, or a row that breaks a constraint stands in the log as DETAIL.
    # Query insights shows their texts and times without.
    log_min_duration_statement = "-1"
    log_error_verbosity        = "terse"
  }
}

data "google_sql_database_instance" "existing" {
  count = local.creates_database ? 0 : 1

  name    = var.database.existing_instance
  project = var.project_id
}

resource "google_sql_database_instance" "content" {
  count = local.creates_database ? 1 : 0

  name                = "${local.prefix}-content"
  region              = var.region
  database_version    = var.database.version
  deletion_protection = var.database.deletion_protection

  settings {
    tier              = var.database.tier
    edition           = var.database.edition
    availability_type = var.database.availability
    disk_type         = "PD_SSD"
    disk_size         = var.database.disk_gb
    disk_autoresize   = true
    # That of the API: also without terraform nobody deletes it in passing.
    deletion_protection_enabled = var.database.deletion_protection
    user_labels                 = local.labels

    backup_configuration {
      enabled                        = true
      start_time                     = "03:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = var.database.pitr_days
      backup_retention_settings {
        retained_backups = var.database.backups
        retention_unit   = "COUNT"
      }
    }

    ip_configuration {
      ipv4_enabled    = false
      private_network = local.network_id
      ssl_mode        = var.database.ssl_mode
      # One authority for this instance alone: whoever verifies it (sslmode=verify-ca) verifies the instance.
      server_ca_mode = "GOOGLE_MANAGED_INTERNAL_CA"
    }

    maintenance_window {
      day          = 7
      hour         = 8
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled  = true
      query_string_length     = 1024
      record_application_tags = false
      record_client_address   = false
    }

    password_validation_policy {
      enable_password_policy      = true
      min_length                  = 24
      disallow_username_substring = true
    }

    dynamic "database_flags" {
      for_each = local.database_flags
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    prevent_destroy = true
    # It grows by itself; terraform would make it anew, smaller.
    ignore_changes = [settings[0].disk_size]
  }
  depends_on = [google_service_networking_connection.private_services]
}

resource "google_sql_database" "content" {
  count = local.creates_database ? 1 : 0

  name     = local.database
  instance = google_sql_database_instance.content[0].name

  lifecycle {
    prevent_destroy = true
  }
}

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

run "database" {
  command = plan

  assert {
    condition     = google_sql_database_instance.content[0].settings[0].ip_configuration[0].ipv4_enabled == false && google_sql_database_instance.content[0].settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
    error_message = "private, and encrypted"
  }

  assert {
    condition     = google_sql_database_instance.content[0].settings[0].backup_configuration[0].enabled && google_sql_database_instance.content[0].settings[0].backup_configuration[0].point_in_time_recovery_enabled && google_sql_database_instance.content[0].settings[0].backup_configuration[0].transaction_log_retention_days == 7
    error_message = "backups and PITR"
  }

  assert {
    condition     = google_sql_database_instance.content[0].deletion_protection && google_sql_database_instance.content[0].settings[0].deletion_protection_enabled && google_sql_database_instance.content[0].settings[0].edition == "ENTERPRISE"
    error_message = "protected"
  }

  assert {
    condition     = google_sql_database.content[0].name == "vividly_dev"
    error_message = "the plan's database"
  }

  assert {
    condition     = output.database_url_form == "postgresql://USER:PASSWORD@10.20.0.3:5432/vividly_dev?sslmode=verify-ca&sslrootcert=/secrets/database-server-ca/database-server-ca.pem"
    error_message = "the URL verifies the server"
  }

  assert {
    condition     = google_artifact_registry_repository.images[0].repository_id == "vividly" && length(google_artifact_registry_repository.images[0].cleanup_policies) == 2
    error_message = "images are cleaned up"
  }

  assert {
    condition     = alltrue([for each in values(google_project_service.enabled) : !each.disable_on_destroy])
    error_message = "no API is turned off"
  }
}

run "client_certificates" {
  command = plan

  variables {
    database = { ssl_mode = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED" }
  }

  assert {
    condition     = endswith(output.database_url_form, "&sslcert=/secrets/database-client-cert/database-client-cert.pem&sslkey=/secrets/database-client-key/database-client-key.pem")
    error_message = "client certificate in the URL"
  }
}

run "existing" {
  command = plan

  variables {
    database = { existing_instance = "shared" }
    network  = { existing = "shared", subnetwork = "shared" }
  }

  assert {
    condition     = length(google_sql_database_instance.content) == 0 && length(google_sql_database.content) == 0
    error_message = "an existing instance is left alone"
  }

  assert {
    condition     = length(google_service_networking_connection.private_services) == 0 && length(google_compute_global_address.private_services) == 0
    error_message = "its VPC has the peering"
  }
}

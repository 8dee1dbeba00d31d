# Run once with each environment's own values: terraform test -test-directory=tests/environments -var-file=environments/dev.tfvars
mock_provider "google" {
  source = "./tests/mocks"
}

run "environment" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.content_worker.name == "${var.environment}-vividly-content-worker"
    error_message = "the job has its environment's name"
  }
  assert {
    condition     = output.image == "us-central1-docker.pkg.dev/vividly-dev-rich/vividly/content-worker"
    error_message = "every environment runs the image that dev has built"
  }
  assert {
    condition     = length(google_artifact_registry_repository.images) == (var.environment == "dev" ? 1 : 0)
    error_message = "one registry"
  }
  assert {
    condition     = google_sql_database.content[0].name == "vividly_${var.environment}"
    error_message = "the database has its environment's name"
  }
  assert {
    condition     = google_sql_database_instance.content[0].settings[0].backup_configuration[0].point_in_time_recovery_enabled
    error_message = "point in time recovery everywhere"
  }
  assert {
    condition     = google_sql_database_instance.content[0].deletion_protection == (var.environment != "dev")
    error_message = "only dev's database goes easily"
  }
  assert {
    condition     = var.environment != "prod" || (length(google_monitoring_notification_channel.email) > 0 && !contains(values(local.secret_version), "latest") && google_sql_database_instance.content[0].settings[0].availability_type == "REGIONAL")
    error_message = "prod is heard, pinned and in two zones"
  }
}

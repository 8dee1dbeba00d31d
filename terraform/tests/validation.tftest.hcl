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

# What each validation is there for; the first run is the twin: the same values without a fault.
run "sound" {
  command = plan
}

run "prod_sound" {
  command = plan

  variables {
    environment     = "prod"
    alert_emails    = ["a@b.example"]
    secret_versions = { database-server-ca = "1", database-url = "1", migrate-database-url = "1", secret-key = "1", temporal-api-key = "1" }
    database        = { availability = "REGIONAL" }
  }
}


run "refuses_environment" {
  command = plan

  variables {
    environment = "test"
  }

  expect_failures = [var.environment]
}

run "refuses_project_id" {
  command = plan

  variables {
    project_id = "Vividly"
  }

  expect_failures = [var.project_id]
}

run "refuses_region" {
  command = plan

  variables {
    region = "us-central1-a"
  }

  expect_failures = [var.region]
}

run "refuses_image_digest" {
  command = plan

  variables {
    image_digest = "latest"
  }

  expect_failures = [var.image_digest]
}

run "refuses_publishers" {
  command = plan

  variables {
    publishers = ["allUsers"]
  }

  expect_failures = [var.publishers]
}

run "refuses_algorithm" {
  command = plan

  variables {
    algorithm = "none"
  }

  expect_failures = [var.algorithm]
}

run "refuses_cors" {
  command = plan

  variables {
    cors_origins = ["*"]
  }

  expect_failures = [var.cors_origins]
}

run "refuses_registry_project" {
  command = plan

  variables {
    registry_project = "A"
  }

  expect_failures = [var.registry_project]
}

run "refuses_registry_readers" {
  command = plan

  variables {
    registry_reader_projects = ["a"]
  }

  expect_failures = [var.registry_reader_projects]
}

run "refuses_everybody_as_reader" {
  command = plan

  variables {
    registry_readers = ["allUsers"]
  }

  expect_failures = [var.registry_readers]
}

run "refuses_worker_user" {
  command = plan

  variables {
    database = { worker_user = "content-worker@project" }
  }

  expect_failures = [var.database]
}

run "refuses_latest_version" {
  command = plan

  variables {
    secret_versions = { database-url = "latest" }
  }

  expect_failures = [var.secret_versions]
}

run "refuses_unknown_secret" {
  command = plan

  variables {
    secret_versions = { other = "1" }
  }

  expect_failures = [var.secret_versions]
}

run "refuses_deployer_pool" {
  command = plan

  variables {
    deployer = { members = ["principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*"] }
  }

  expect_failures = [var.deployer]
}

run "refuses_deployer_repository" {
  command = plan

  variables {
    deployer = { members = ["principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/attribute.repository/o/r"] }
  }

  expect_failures = [var.deployer]
}

run "refuses_deployer_branch" {
  command = plan

  variables {
    deployer = { members = ["principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/repo:o/r:ref:refs/heads/main"] }
  }

  expect_failures = [var.deployer]
}

run "refuses_deployer_environment" {
  command = plan

  variables {
    deployer = { members = ["principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/repo:o/r:environment:prod"] }
  }

  expect_failures = [var.deployer]
}

run "refuses_deployer_all" {
  command = plan

  variables {
    deployer = { members = ["allUsers"] }
  }

  expect_failures = [var.deployer]
}

run "refuses_runbook" {
  command = plan

  variables {
    runbook_url = "docs/runbook.md"
  }

  expect_failures = [var.runbook_url]
}

run "refuses_emails" {
  command = plan

  variables {
    alert_emails = ["x"]
  }

  expect_failures = [var.alert_emails]
}

run "refuses_channels" {
  command = plan

  variables {
    notification_channels = ["x"]
  }

  expect_failures = [var.notification_channels]
}

run "refuses_plaintext" {
  command = plan

  variables {
    temporal = { address = "a:7233", auth = "plaintext" }
  }

  expect_failures = [var.temporal]
}

run "refuses_temporal_scheme" {
  command = plan

  variables {
    temporal = { address = "https://a", auth = "tls" }
  }

  expect_failures = [var.temporal]
}

run "refuses_temporal_auth" {
  command = plan

  variables {
    temporal = { address = "a:7233", auth = "password" }
  }

  expect_failures = [var.temporal]
}

run "refuses_temporal_namespace" {
  command = plan

  variables {
    temporal = { address = "a:7233", auth = "tls", namespace = "a b" }
  }

  expect_failures = [var.temporal]
}

run "refuses_letters_queue" {
  command = plan

  variables {
    temporal = { address = "a:7233", auth = "tls", task_queue = "content-dead-letter" }
  }

  expect_failures = [var.temporal]
}

run "refuses_plaintext_ca" {
  command = plan

  variables {
    temporal = { address = "a:7233", auth = "plaintext", allow_plaintext = true, server_ca = true }
  }

  expect_failures = [var.temporal]
}

run "refuses_interval" {
  command = plan

  variables {
    bridge = { interval_minutes = 7 }
  }

  expect_failures = [var.bridge]
}

run "refuses_tasks" {
  command = plan

  variables {
    bridge = { tasks = 0 }
  }

  expect_failures = [var.bridge]
}

run "refuses_timeout" {
  command = plan

  variables {
    bridge = { timeout_seconds = 60 }
  }

  expect_failures = [var.bridge]
}

run "refuses_bridge_memory" {
  command = plan

  variables {
    bridge = { memory = "512Mi" }
  }

  expect_failures = [var.bridge]
}

run "refuses_bridge_memory_for_cpu" {
  command = plan

  variables {
    bridge = { cpu = "4" }
  }

  expect_failures = [var.bridge]
}

run "refuses_bridge_settings" {
  command = plan

  variables {
    bridge = { settings = { BRIDGE_MAX_RUNTIME_MS = "1" } }
  }

  expect_failures = [var.bridge]
}

run "refuses_worker_unversioned" {
  command = plan

  variables {
    worker = { versioning = false }
  }

  expect_failures = [var.worker]
}

run "refuses_worker_instances" {
  command = plan

  variables {
    worker = { versioning = false, instances = 1000 }
  }

  expect_failures = [var.worker]
}

run "refuses_worker_memory" {
  command = plan

  variables {
    worker = { memory = "512Mi" }
  }

  expect_failures = [var.worker]
}

run "refuses_worker_memory_for_cpu" {
  command = plan

  variables {
    worker = { cpu = "8", memory = "3Gi" }
  }

  expect_failures = [var.worker]
}

run "refuses_existing_instance_without_its_network" {
  command = plan

  variables {
    database = { existing_instance = "shared" }
  }

  expect_failures = [var.database]
}

run "refuses_connector_without_its_network" {
  command = plan

  variables {
    network = { egress = "connector", connector_id = "projects/p/locations/us-central1/connectors/c" }
  }

  expect_failures = [var.network]
}

run "refuses_worker_settings" {
  command = plan

  variables {
    worker = { settings = { GEMINI_API_KEY = "x" } }
  }

  expect_failures = [var.worker]
}

run "refuses_migrate" {
  command = plan

  variables {
    migrate_timeout_seconds = 1
  }

  expect_failures = [var.migrate_timeout_seconds]
}

run "refuses_generator" {
  command = plan

  variables {
    generator = { kind = "x" }
  }

  expect_failures = [var.generator]
}

run "refuses_gemini" {
  command = plan

  variables {
    generator = { kind = "gemini" }
  }

  expect_failures = [var.generator]
}

run "refuses_gemini_key" {
  command = plan

  variables {
    generator = { gemini_api_key = true }
  }

  expect_failures = [var.generator]
}

run "refuses_generator_http" {
  command = plan

  variables {
    generator = { kind = "http", url = "http://a" }
  }

  expect_failures = [var.generator]
}

run "refuses_db_version" {
  command = plan

  variables {
    database = { version = "POSTGRES_14" }
  }

  expect_failures = [var.database]
}

run "refuses_db_edition" {
  command = plan

  variables {
    database = { edition = "X" }
  }

  expect_failures = [var.database]
}

run "refuses_db_tier" {
  command = plan

  variables {
    database = { tier = "db-perf-optimized-N-2" }
  }

  expect_failures = [var.database]
}

run "refuses_db_availability" {
  command = plan

  variables {
    database = { availability = "X" }
  }

  expect_failures = [var.database]
}

run "refuses_db_disk" {
  command = plan

  variables {
    database = { disk_gb = 1 }
  }

  expect_failures = [var.database]
}

run "refuses_db_connections" {
  command = plan

  variables {
    database = { max_connections = 1 }
  }

  expect_failures = [var.database]
}

run "refuses_db_backups" {
  command = plan

  variables {
    database = { backups = 1 }
  }

  expect_failures = [var.database]
}

run "refuses_db_pitr" {
  command = plan

  variables {
    database = { pitr_days = 8 }
  }

  expect_failures = [var.database]
}

run "refuses_db_ssl" {
  command = plan

  variables {
    database = { ssl_mode = "ALLOW_UNENCRYPTED_AND_ENCRYPTED" }
  }

  expect_failures = [var.database]
}

run "refuses_db_existing" {
  command = plan

  variables {
    database = { existing_instance = "p:r:i" }
  }

  expect_failures = [var.database]
}

run "refuses_net_half" {
  command = plan

  variables {
    network = { existing = "a" }
  }

  expect_failures = [var.network]
}

run "refuses_net_cidr" {
  command = plan

  variables {
    network = { subnet_cidr = "10.0.0.0/28" }
  }

  expect_failures = [var.network]
}

run "refuses_net_egress" {
  command = plan

  variables {
    network = { egress = "nat" }
  }

  expect_failures = [var.network]
}

run "refuses_net_connector" {
  command = plan

  variables {
    network = { connector_cidr = "10.0.0.0/24" }
  }

  expect_failures = [var.network]
}

run "refuses_net_connector_id" {
  command = plan

  variables {
    network = { connector_id = "x" }
  }

  expect_failures = [var.network]
}

run "refuses_registry" {
  command = plan

  variables {
    registry = { keep_versions = 1 }
  }

  expect_failures = [var.registry]
}

run "refuses_prod_alerts" {
  command = plan

  variables {
    environment     = "prod"
    secret_versions = { database-server-ca = "1", database-url = "1", migrate-database-url = "1", secret-key = "1", temporal-api-key = "1" }
    database        = { availability = "REGIONAL" }
  }

  expect_failures = [var.notification_channels]
}

run "refuses_prod_versions" {
  command = plan

  variables {
    environment     = "prod"
    alert_emails    = ["a@b.example"]
    secret_versions = { database-server-ca = "1", database-url = "1", migrate-database-url = "1", temporal-api-key = "1" }
    database        = { availability = "REGIONAL" }
  }

  expect_failures = [var.secret_versions]
}

run "refuses_prod_zonal" {
  command = plan

  variables {
    environment     = "prod"
    alert_emails    = ["a@b.example"]
    secret_versions = { database-server-ca = "1", database-url = "1", migrate-database-url = "1", secret-key = "1", temporal-api-key = "1" }
  }

  expect_failures = [var.database]
}

run "refuses_prod_unprotected" {
  command = plan

  variables {
    environment     = "prod"
    alert_emails    = ["a@b.example"]
    secret_versions = { database-server-ca = "1", database-url = "1", migrate-database-url = "1", secret-key = "1", temporal-api-key = "1" }
    database        = { availability = "REGIONAL", deletion_protection = false }
  }

  expect_failures = [var.database]
}

run "refuses_prod_plaintext" {
  command = plan

  variables {
    environment     = "prod"
    alert_emails    = ["a@b.example"]
    secret_versions = { database-server-ca = "1", database-url = "1", migrate-database-url = "1", secret-key = "1" }
    database        = { availability = "REGIONAL" }
    temporal        = { address = "a:7233", auth = "plaintext", allow_plaintext = true }
  }

  expect_failures = [var.temporal]
}

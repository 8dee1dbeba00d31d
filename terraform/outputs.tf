output "job" {
  description = "The bridge: gcloud run jobs execute."
  value       = local.job
}

output "migrate_job" {
  description = "The migrations: gcloud run jobs execute --wait."
  value       = local.migrate_job
}

output "worker_pool" {
  description = "Pattern of the worker's pools; that of a build is called <pattern>-<build id>."
  value       = local.pool
}

output "scheduler_job" {
  description = "gcloud scheduler jobs pause stops new runs of the bridge."
  value       = "${local.job}-schedule"
}

output "image" {
  description = "The image without tag and digest."
  value       = local.image
}

output "topic" {
  description = "Where requests are published."
  value       = local.topic
}

output "subscription" {
  description = "Where the bridge pulls them."
  value       = local.subscription
}

output "dead_letter_topic" {
  description = "Where the bridge publishes dead letters."
  value       = local.dead_letter_topic
}

output "dead_letter_subscription" {
  description = "Where dead letters wait for somebody."
  value       = local.dead_letter_subscription
}

output "service_accounts" {
  description = "Process -> its account."
  value = {
    bridge    = google_service_account.bridge.email
    worker    = google_service_account.worker.email
    migrate   = google_service_account.migrate.email
    scheduler = google_service_account.scheduler.email
    deployer  = one(google_service_account.deployer[*].email)
  }
}

output "secrets" {
  description = "Key -> secret that needs a version: gcloud secrets versions add SECRET --data-file=-"
  value       = { for key, secret in google_secret_manager_secret.content : key => secret.secret_id }
}

output "temporal_secrets" {
  description = "What the pipeline reads to speak to Temporal, as its variable TEMPORAL_SECRETS: variable=secret, by blanks. Empty = nothing."
  value       = join(" ", [for name, key in local.temporal_secrets : "${name}=${google_secret_manager_secret.content[key].secret_id}"])
}

output "database_instance" {
  description = "The Cloud SQL instance."
  value       = local.instance
}

output "database" {
  description = "The database in it."
  value       = local.database
}

output "database_ip" {
  description = "The private address of the instance."
  value       = local.database_ip
}

output "database_url_form" {
  description = "What database-url and migrate-database-url look like, each with a user of its own."
  value       = "postgresql://USER:PASSWORD@${local.database_ip}:5432/${local.database}?${local.database_url_parameters}"
}

output "dashboard" {
  description = "The dashboard's resource name."
  value       = google_monitoring_dashboard.content.id
}

output "oldest_message_threshold_seconds" {
  description = "From which age of the oldest message on the alert fires; it follows the schedule."
  value       = local.oldest_message_seconds
}

output "builds_bucket" {
  description = "Where builds upload their sources: gcloud builds submit --gcs-source-staging-dir=gs://BUCKET/source. Null without a deployer, or where another project builds."
  value       = one(google_storage_bucket.builds[*].name)
}

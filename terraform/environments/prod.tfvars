environment      = "prod"
project_id       = "vividly-prod-rich"
registry_project = "vividly-dev-rich"

cors_origins = ["https://vividly.example"]
runbook_url  = "https://github.com/vividly/content-processor/blob/main/docs/runbook.md"
alert_emails = ["oncall@vividly.example"]

temporal = {
  address   = "us-central1.gcp.api.temporal.io:7233"
  namespace = "vividly-prod.account"
  auth      = "api_key"
}

secret_versions = {
  database-server-ca   = "1"
  database-url         = "1"
  migrate-database-url = "1"
  secret-key           = "1"
  temporal-api-key     = "1"
}

database = {
  tier            = "db-custom-4-15360"
  availability    = "REGIONAL"
  disk_gb         = 100
  max_connections = 400
  backups         = 30
}

deployer = {
  # The pipeline alone: whoever else stands here deploys without being asked.
  members = ["principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/github/subject/repo:vividly/content-processor:environment:prod"]
}

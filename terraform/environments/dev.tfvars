environment = "dev"
project_id  = "vividly-dev-rich"

debug        = true
cors_origins = ["http://localhost:3000"]
runbook_url  = "https://github.com/vividly/content-processor/blob/main/docs/runbook.md"

temporal = {
  address   = "us-central1.gcp.api.temporal.io:7233"
  namespace = "vividly-dev.account"
  auth      = "api_key"
}

database = {
  deletion_protection = false
}

deployer = {
  members = [
    "group:platform@vividly.example",
    "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/github/subject/repo:vividly/content-processor:environment:dev",
  ]
}

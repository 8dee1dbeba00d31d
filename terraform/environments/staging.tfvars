environment      = "staging"
project_id       = "vividly-staging-rich"
registry_project = "vividly-dev-rich"

cors_origins = ["https://staging.vividly.example"]
runbook_url  = "https://github.com/vividly/content-processor/blob/main/docs/runbook.md"

temporal = {
  address   = "us-central1.gcp.api.temporal.io:7233"
  namespace = "vividly-staging.account"
  auth      = "api_key"
}

database = {
  tier    = "db-custom-2-7680"
  disk_gb = 50
}

deployer = {
  members = [
    "group:platform@vividly.example",
    "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/github/subject/repo:vividly/content-processor:environment:staging",
  ]
}

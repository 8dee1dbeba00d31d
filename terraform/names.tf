# Every name once. Those without a prefix are the same in each environment, since each has a project of its own;
# the code has them in src/contract/names.ts, and a test compares.
locals {
  topic                    = "content-generation-requests"
  subscription             = "content-generation-sub"
  dead_letter_topic        = "content-generation-dlq"
  dead_letter_subscription = "content-generation-dlq-sub"

  prefix      = "${var.environment}-vividly"
  job         = "${local.prefix}-content-worker"
  migrate_job = "${local.prefix}-content-migrate"
  pool        = "${local.prefix}-content-pool"
  database    = "vividly_${var.environment}"

  repository       = "vividly"
  registry_project = coalesce(var.registry_project, var.project_id)
  owns_registry    = local.registry_project == var.project_id
  image            = "${var.region}-docker.pkg.dev/${local.registry_project}/${local.repository}/content-worker"
  # The tag is for the very first apply only: from then on the pipeline deploys by digest, and terraform looks away.
  first_image = var.image_digest == null ? "${local.image}:latest" : "${local.image}@${var.image_digest}"

  labels = {
    application = "content-processor"
    environment = var.environment
    managed-by  = "terraform"
  }
}

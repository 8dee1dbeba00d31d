# Starts the job. It never publishes: a message on the topic is a student's request.
resource "google_cloud_scheduler_job" "content_worker" {
  name             = "${local.job}-schedule"
  region           = var.region
  description      = "Runs the bridge: what is in the subscription, and the letters that wait."
  schedule         = var.bridge.interval_minutes == 1 ? "* * * * *" : "*/${var.bridge.interval_minutes} * * * *"
  time_zone        = "Etc/UTC"
  paused           = var.bridge.paused
  attempt_deadline = "30s"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${var.region}/jobs/${google_cloud_run_v2_job.content_worker.name}:run"

    # Google's own API takes access tokens, not identity tokens.
    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.scheduler_runs]
}

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

run "monitoring" {
  command = plan

  assert {
    condition     = setunion(keys(google_monitoring_alert_policy.threshold), keys(google_monitoring_alert_policy.ratio)) == toset(["backlog", "oldest_message", "job_failed", "database_connection", "dead_letters", "dead_letter_age", "failure_ratio", "runs_open_too_long", "worker_not_polling", "rejections"])
    error_message = "all alerts"
  }

  assert {
    condition     = google_monitoring_alert_policy.threshold["backlog"].conditions[0].condition_threshold[0].threshold_value == 100 && google_monitoring_alert_policy.threshold["oldest_message"].conditions[0].condition_threshold[0].threshold_value == 300 && google_monitoring_alert_policy.threshold["dead_letters"].conditions[0].condition_threshold[0].threshold_value == 0 && google_monitoring_alert_policy.threshold["dead_letter_age"].conditions[0].condition_threshold[0].threshold_value == 1814400
    error_message = "the plan's thresholds"
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["dead_letters"].conditions[0].condition_threshold[0].filter, "content-generation-dlq-sub") && strcontains(google_monitoring_alert_policy.threshold["dead_letters"].conditions[0].condition_threshold[0].filter, "num_undelivered_messages")
    error_message = "dead letters are the backlog of their subscription"
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.ratio["failure_ratio"].conditions[0].condition_prometheus_query_language[0].query, " / ") && strcontains(google_monitoring_alert_policy.ratio["failure_ratio"].conditions[0].condition_prometheus_query_language[0].query, ">= 20")
    error_message = "a ratio, with a floor"
  }

  assert {
    condition     = alltrue([for key, each in google_monitoring_alert_policy.threshold : endswith(each.documentation[0].content, "https://example.com/docs/runbook.md#${key}")])
    error_message = "each alert links to its section"
  }

  assert {
    condition     = google_logging_metric.alert["request_failed"].name == "dev-vividly-request-failed" && endswith(google_logging_metric.alert["request_failed"].filter, "jsonPayload.alert=\"request_failed\"")
    error_message = "metrics of lines"
  }

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.content.dashboard_json).mosaicLayout.tiles) == 8
    error_message = "the dashboard"
  }
}

run "slow_schedule" {
  command = plan

  variables {
    bridge = { interval_minutes = 10 }
  }

  assert {
    condition     = google_monitoring_alert_policy.threshold["oldest_message"].conditions[0].condition_threshold[0].threshold_value == 1360 && google_cloud_scheduler_job.content_worker.schedule == "*/10 * * * *"
    error_message = "the threshold follows the schedule"
  }
}

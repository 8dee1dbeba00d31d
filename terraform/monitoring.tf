locals {
  # Two runs (one of them may fail), and what a message waits for in the worst one that still counts as healthy: the start of
  # a container (60 s), an outage that the bridge bears (BRIDGE_OUTAGE_LIMIT_MS, 90 s) and a poll (10 s). Never below the
  # plan's five minutes: an alert that fires by design is soon looked at by nobody.
  oldest_message_seconds = max(300, 2 * var.bridge.interval_minutes * 60 + 160)
  # Three runs of the bridge: what two of them have seen is no deployment in passing.
  bridge_window_seconds = max(300, 3 * var.bridge.interval_minutes * 60)

  from_bridge = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${local.job}\""
  from_worker = "resource.type=\"cloud_run_worker_pool\" AND resource.labels.worker_pool_name=~\"^${local.pool}(-[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?)?$\""

  # Codes of src/contract/alert.ts -> who writes the line.
  alert_lines = {
    database_connection = local.from_worker
    request_completed   = local.from_worker
    request_failed      = local.from_worker
    no_worker_polls     = local.from_bridge
    runs_open_too_long  = local.from_bridge
    rejections          = local.from_bridge
  }

  subscription_metric = {
    for key, name in { requests = local.subscription, letters = local.dead_letter_subscription } :
    key => "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${name}\" AND metric.type = \"pubsub.googleapis.com/subscription/"
  }
  line_metric = {
    for code, metric in google_logging_metric.alert : code => format(
      "resource.type = \"%s\" AND metric.type = \"logging.googleapis.com/user/%s\"",
      local.alert_lines[code] == local.from_worker ? "cloud_run_worker_pool" : "cloud_run_job", metric.name,
    )
  }

  # In PromQL: the first / becomes a colon, what else is no letter or digit an underscore.
  promql = {
    for code, metric in google_logging_metric.alert : code =>
    "sum(increase(logging_googleapis_com:user_${replace(metric.name, "-", "_")}{monitored_resource=\"cloud_run_worker_pool\"}[30m]))"
  }
  requests_failed = local.promql["request_failed"]
  # Without a completed request there is no series: the worst case would be no alert.
  requests_ended = "(${local.requests_failed} + (${local.promql["request_completed"]} or vector(0)))"

  # Keys are the headings of docs/runbook.md.
  thresholds = {
    backlog = {
      title = "More than 100 requests wait", severity = "WARNING"
      means = "More than 100 messages have been waiting for five minutes: the bridge does not run, or not fast enough."
      # For five minutes: a burst that is drained in seconds is what the queue is for.
      filter  = "${local.subscription_metric.requests}num_undelivered_messages\"", above = 100, duration = 300, window = 60
      aligner = "ALIGN_MAX", reducer = "REDUCE_MAX"
    }
    oldest_message = {
      title   = "A request waits for too long", severity = "ERROR"
      means   = "The oldest message is older than ${local.oldest_message_seconds} s, though the bridge is run every ${var.bridge.interval_minutes} min."
      filter  = "${local.subscription_metric.requests}oldest_unacked_message_age\"", above = local.oldest_message_seconds, duration = 0, window = 60
      aligner = "ALIGN_MAX", reducer = "REDUCE_MAX"
    }
    job_failed = {
      title   = "A job has failed", severity = "ERROR"
      means   = "An execution of the bridge or of the migrations has failed; its exit code says how."
      filter  = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = one_of(\"${local.job}\", \"${local.migrate_job}\") AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\"", above = 0, duration = 0, window = 300
      aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
    database_connection = {
      title   = "The worker cannot reach PostgreSQL", severity = "ERROR"
      means   = "A worker has lost its connection to the database, or cannot make one. Requests keep their place."
      filter  = local.line_metric["database_connection"], above = 0, duration = 0, window = 300
      aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
    # The backlog, not dead_letter_message_count: that counts what Pub/Sub forwards, and the bridge publishes by itself.
    dead_letters = {
      title   = "Dead letters wait", severity = "WARNING"
      means   = "Somebody has to look at what failed for good; dlq_reason of each letter says why."
      filter  = "${local.subscription_metric.letters}num_undelivered_messages\"", above = 0, duration = 0, window = 60
      aligner = "ALIGN_MAX", reducer = "REDUCE_MAX"
    }
    dead_letter_age = {
      title   = "A dead letter is about to be lost", severity = "CRITICAL"
      means   = "The oldest dead letter is older than 21 days. After 31 it is gone."
      filter  = "${local.subscription_metric.letters}oldest_unacked_message_age\"", above = 21 * 86400, duration = 0, window = 60
      aligner = "ALIGN_MAX", reducer = "REDUCE_MAX"
    }
    runs_open_too_long = {
      title   = "Runs are open for too long", severity = "WARNING"
      means   = "Runs have been open for longer than any retry policy explains."
      filter  = local.line_metric["runs_open_too_long"], above = 0, duration = 0, window = 300
      aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
    worker_not_polling = {
      title   = "No worker polls", severity = "CRITICAL"
      means   = "Bridges, one after another, have found nobody on the task queue: requests are started, and wait."
      filter  = local.line_metric["no_worker_polls"], above = 1, duration = 0, window = local.bridge_window_seconds
      aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
    rejections = {
      title   = "Many messages are rejected", severity = "ERROR"
      means   = "More than a fifth of the last 100 messages were invalid: more likely a publisher's schema has changed."
      filter  = local.line_metric["rejections"], above = 0, duration = 0, window = 300
      aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM"
    }
  }

  ratios = {
    failure_ratio = {
      title = "More than 5 % of the requests fail", severity = "ERROR"
      means = "Of the requests that ended in the last 30 minutes, 20 or more, over 5 % have failed for good."
      query = "${local.requests_failed} / ${local.requests_ended} > 0.05 and ${local.requests_ended} >= 20"
    }
  }

  channels = concat(tolist(var.notification_channels), [for each in google_monitoring_notification_channel.email : each.name])
}

resource "google_logging_metric" "alert" {
  for_each = local.alert_lines

  name        = "${local.prefix}-${replace(each.key, "_", "-")}"
  description = "Lines with alert=${each.key}"
  filter      = "${each.value} AND jsonPayload.alert=\"${each.key}\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
  depends_on = [google_project_service.enabled]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = "Content processor: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  depends_on   = [google_project_service.enabled]
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.thresholds

  display_name          = "${local.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = merge(local.labels, { alert = each.key })

  conditions {
    display_name = each.value.title
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "${each.value.duration}s"
      aggregations {
        alignment_period     = "${each.value.window}s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
      }
      trigger {
        count = 1
      }
    }
  }

  alert_strategy {
    auto_close = "1800s"
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${local.prefix}: ${each.value.title}"
    content   = "${each.value.means}\n\nWhat to do: ${var.runbook_url}#${each.key}"
  }
  depends_on = [google_project_service.enabled]
}

resource "google_monitoring_alert_policy" "ratio" {
  for_each = local.ratios

  display_name          = "${local.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = merge(local.labels, { alert = each.key })

  conditions {
    display_name = each.value.title
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "300s"
      evaluation_interval = "60s"
      # A metric of log lines has no series before its first line.
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "1800s"
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${local.prefix}: ${each.value.title}"
    content   = "${each.value.means}\n\nWhat to do: ${var.runbook_url}#${each.key}"
  }
  depends_on = [google_project_service.enabled]
}

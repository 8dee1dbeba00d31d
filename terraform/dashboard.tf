# The plan's four metrics, two charts each.
locals {
  sql_metric = "resource.type=\"cloudsql_database\" resource.label.\"database_id\"=\"${var.project_id}:${local.instance}\" metric.type=\"cloudsql.googleapis.com/database/"

  charts = [
    { title = "Job: executions by result", filter = "resource.type=\"cloud_run_job\" resource.label.\"job_name\"=\"${local.job}\" metric.type=\"run.googleapis.com/job/completed_execution_count\"", aligner = "ALIGN_DELTA", by = ["metric.label.\"result\""] },
    { title = "Job: running executions", filter = "resource.type=\"cloud_run_job\" resource.label.\"job_name\"=\"${local.job}\" metric.type=\"run.googleapis.com/job/running_executions\"", aligner = "ALIGN_MEAN", by = [] },
    { title = "Subscription: waiting messages", filter = "${local.subscription_metric.requests}num_undelivered_messages\"", aligner = "ALIGN_MAX", by = [] },
    { title = "Subscription: oldest message (s)", filter = "${local.subscription_metric.requests}oldest_unacked_message_age\"", aligner = "ALIGN_MAX", by = [] },
    { title = "Database: connections", filter = "${local.sql_metric}postgresql/num_backends\"", aligner = "ALIGN_MEAN", by = [] },
    { title = "Database: lines of lost connections", filter = local.line_metric["database_connection"], aligner = "ALIGN_DELTA", by = [] },
    { title = "Errors: dead letters that wait", filter = "${local.subscription_metric.letters}num_undelivered_messages\"", aligner = "ALIGN_MAX", by = [] },
    { title = "Errors: requests failed for good", filter = local.line_metric["request_failed"], aligner = "ALIGN_DELTA", by = [] },
  ]
}

resource "google_monitoring_dashboard" "content" {
  dashboard_json = jsonencode({
    displayName = "${local.prefix}: content processor"
    mosaicLayout = {
      columns = 12
      # Without zeros and empty lists: the API leaves them out of its answer, and every plan would see a difference.
      tiles = [for index, chart in local.charts : merge(index % 2 == 0 ? {} : { xPos = 6 }, index < 2 ? {} : { yPos = floor(index / 2) * 4 }, {
        width  = 6
        height = 4
        widget = {
          title = chart.title
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = chart.filter
                  aggregation = merge(length(chart.by) == 0 ? {} : { groupByFields = chart.by }, {
                    alignmentPeriod    = "60s"
                    perSeriesAligner   = chart.aligner
                    crossSeriesReducer = chart.aligner == "ALIGN_MAX" ? "REDUCE_MAX" : "REDUCE_SUM"
                  })
                }
              }
            }]
          }
        }
      })]
    }
  })
  depends_on = [google_project_service.enabled]
}

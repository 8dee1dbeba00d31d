locals {
  retention            = "2678400s" # 31 days, the most that Pub/Sub keeps
  ack_deadline_seconds = 30
}

# Topics keep what was acked as well: a letter that was acked by mistake can be sought back, and after a loss of Temporal's
# own store the requests of a month can be replayed (rows that are completed answer for themselves).
resource "google_pubsub_topic" "requests" {
  name                       = local.topic
  message_retention_duration = local.retention

  lifecycle {
    prevent_destroy = true
  }
  depends_on = [google_project_service.enabled]
}

resource "google_pubsub_topic" "dead_letters" {
  name                       = local.dead_letter_topic
  message_retention_duration = local.retention

  lifecycle {
    prevent_destroy = true
  }
  depends_on = [google_project_service.enabled]
}

# No filter: it would drop messages that carry no attributes, unseen. Ordering and exactly-once stay off: the first holds up
# a key behind one message that is given back, the second buys nothing where every redelivery finds its row.
resource "google_pubsub_subscription" "requests" {
  name                         = local.subscription
  topic                        = google_pubsub_topic.requests.id
  ack_deadline_seconds         = local.ack_deadline_seconds
  message_retention_duration   = local.retention
  enable_message_ordering      = false
  enable_exactly_once_delivery = false

  expiration_policy {
    ttl = "" # never
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # The backstop only: the bridge publishes dead letters itself, with their reason.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 100
  }

  lifecycle {
    prevent_destroy = true
  }
  # Without its roles Pub/Sub forwards nothing, and says nothing. Without this subscription the letters would be dropped.
  depends_on = [
    google_pubsub_topic_iam_member.service_agent_forwards,
    google_pubsub_subscription.dead_letters,
  ]
}

resource "google_pubsub_subscription" "dead_letters" {
  name                         = local.dead_letter_subscription
  topic                        = google_pubsub_topic.dead_letters.id
  ack_deadline_seconds         = local.ack_deadline_seconds
  message_retention_duration   = local.retention
  enable_message_ordering      = false
  enable_exactly_once_delivery = false

  expiration_policy {
    ttl = "" # never
  }

  lifecycle {
    prevent_destroy = true
  }
}

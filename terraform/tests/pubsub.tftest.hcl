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

run "pubsub" {
  command = plan

  assert {
    condition     = google_pubsub_topic.requests.name == "content-generation-requests" && google_pubsub_subscription.requests.name == "content-generation-sub"
    error_message = "topic and subscription have the plan's names"
  }

  assert {
    condition     = google_pubsub_topic.dead_letters.name == "content-generation-dlq" && google_pubsub_subscription.dead_letters.name == "content-generation-dlq-sub"
    error_message = "dead letters have a topic and a subscription"
  }

  assert {
    condition     = google_pubsub_subscription.requests.topic == google_pubsub_topic.requests.id && google_pubsub_subscription.dead_letters.topic == google_pubsub_topic.dead_letters.id
    error_message = "each subscription is on its topic"
  }

  assert {
    condition     = google_pubsub_subscription.requests.message_retention_duration == "2678400s" && google_pubsub_subscription.dead_letters.message_retention_duration == "2678400s"
    error_message = "31 days are kept"
  }

  assert {
    condition     = google_pubsub_subscription.requests.expiration_policy[0].ttl == "" && google_pubsub_subscription.dead_letters.expiration_policy[0].ttl == ""
    error_message = "no subscription expires"
  }

  assert {
    condition     = google_pubsub_subscription.requests.ack_deadline_seconds == 30
    error_message = "the ack deadline is 30 s"
  }

  assert {
    condition     = google_pubsub_subscription.requests.dead_letter_policy[0].max_delivery_attempts == 100 && google_pubsub_subscription.requests.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters.id
    error_message = "the backstop is 100 attempts"
  }

  assert {
    condition     = google_pubsub_subscription.requests.retry_policy[0].minimum_backoff == "10s" && google_pubsub_subscription.requests.retry_policy[0].maximum_backoff == "600s"
    error_message = "backoff is 10 s to 600 s"
  }

  assert {
    condition     = google_pubsub_subscription.requests.filter == null && google_pubsub_subscription.dead_letters.filter == null
    error_message = "there is no filter"
  }

  assert {
    condition     = !google_pubsub_subscription.requests.enable_exactly_once_delivery && !google_pubsub_subscription.requests.enable_message_ordering
    error_message = "exactly-once and ordering are off"
  }

  assert {
    condition     = google_pubsub_topic_iam_member.service_agent_forwards.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.service_agent_forwards.topic == "content-generation-dlq" && google_pubsub_topic_iam_member.service_agent_forwards.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "Pub/Sub's agent may publish dead letters"
  }

  assert {
    condition     = google_pubsub_subscription_iam_member.service_agent_acks.role == "roles/pubsub.subscriber" && google_pubsub_subscription_iam_member.service_agent_acks.subscription == "content-generation-sub" && google_pubsub_subscription_iam_member.service_agent_acks.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "Pub/Sub's agent may ack what it forwarded"
  }
}

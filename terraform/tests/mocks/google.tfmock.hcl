# What Google would answer. Known while planning: a test never applies, since prevent_destroy would not let it clean up.

mock_data "google_project" {
  defaults = {
    number = "123456789012"
  }
}

override_resource {
  target          = google_service_account.bridge
  override_during = plan
  values = {
    email  = "bridge@vividly.iam.gserviceaccount.com"
    member = "serviceAccount:bridge@vividly.iam.gserviceaccount.com"
    name   = "projects/vividly/serviceAccounts/bridge@vividly.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = google_service_account.worker
  override_during = plan
  values = {
    email  = "worker@vividly.iam.gserviceaccount.com"
    member = "serviceAccount:worker@vividly.iam.gserviceaccount.com"
    name   = "projects/vividly/serviceAccounts/worker@vividly.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = google_service_account.migrate
  override_during = plan
  values = {
    email  = "migrate@vividly.iam.gserviceaccount.com"
    member = "serviceAccount:migrate@vividly.iam.gserviceaccount.com"
    name   = "projects/vividly/serviceAccounts/migrate@vividly.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = google_service_account.scheduler
  override_during = plan
  values = {
    email  = "scheduler@vividly.iam.gserviceaccount.com"
    member = "serviceAccount:scheduler@vividly.iam.gserviceaccount.com"
    name   = "projects/vividly/serviceAccounts/scheduler@vividly.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = google_service_account.deployer
  override_during = plan
  values = {
    email  = "deployer@vividly.iam.gserviceaccount.com"
    member = "serviceAccount:deployer@vividly.iam.gserviceaccount.com"
    name   = "projects/vividly/serviceAccounts/deployer@vividly.iam.gserviceaccount.com"
  }
}

override_resource {
  target          = google_pubsub_topic.requests
  override_during = plan
  values = {
    id = "projects/vividly/topics/content-generation-requests"
  }
}

override_resource {
  target          = google_pubsub_topic.dead_letters
  override_during = plan
  values = {
    id = "projects/vividly/topics/content-generation-dlq"
  }
}

override_resource {
  target          = google_sql_database_instance.content
  override_during = plan
  values = {
    private_ip_address = "10.20.0.3"
  }
}

override_resource {
  target          = google_compute_network.content
  override_during = plan
  values = {
    id = "projects/vividly/global/networks/content"
  }
}

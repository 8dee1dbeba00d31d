# Only what is private goes through the VPC: the database, and a Temporal that is in it. Pub/Sub, Temporal Cloud and the
# provider are reached as Cloud Run reaches them by itself; no NAT stands in between.
locals {
  creates_network = var.network.existing == null
  # Only for an instance that is made here: where one exists its VPC has the peering, and a second one is refused.
  creates_peering  = var.network.private_services_access && local.creates_database
  network_id       = local.creates_network ? google_compute_network.content[0].id : data.google_compute_network.existing[0].id
  subnetwork       = local.creates_network ? google_compute_subnetwork.content[0].name : var.network.subnetwork
  egress_connector = var.network.egress == "connector"
  connector        = local.egress_connector ? coalesce(var.network.connector_id, one(google_vpc_access_connector.content[*].id)) : null
}

data "google_compute_network" "existing" {
  count = local.creates_network ? 0 : 1

  name    = var.network.existing
  project = var.project_id
}

resource "google_compute_network" "content" {
  count = local.creates_network ? 1 : 0

  name                    = "${local.prefix}-content"
  auto_create_subnetworks = false
  depends_on              = [google_project_service.enabled]
}

resource "google_compute_subnetwork" "content" {
  count = local.creates_network ? 1 : 0

  name                     = "${local.prefix}-content"
  region                   = var.region
  network                  = google_compute_network.content[0].id
  ip_cidr_range            = var.network.subnet_cidr
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Nothing here listens. The implied rule says so already; this one can be seen, and counted.
resource "google_compute_firewall" "no_ingress" {
  count = local.creates_network ? 1 : 0

  name          = "${local.prefix}-content-no-ingress"
  network       = google_compute_network.content[0].name
  direction     = "INGRESS"
  priority      = 65534
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
}

resource "google_compute_global_address" "private_services" {
  count = local.creates_peering ? 1 : 0

  name          = "${local.prefix}-private-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = local.network_id
  depends_on    = [google_project_service.enabled]
}

resource "google_service_networking_connection" "private_services" {
  count = local.creates_peering ? 1 : 0

  network                 = local.network_id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.private_services[0].name]
}

resource "google_vpc_access_connector" "content" {
  count = local.egress_connector && var.network.connector_id == null ? 1 : 0

  # At most 25 characters.
  name          = "${local.prefix}-content"
  region        = var.region
  network       = local.network_id
  ip_cidr_range = var.network.connector_cidr
  machine_type  = "e2-micro"
  min_instances = 2
  max_instances = 3
  depends_on    = [google_project_service.enabled]
}

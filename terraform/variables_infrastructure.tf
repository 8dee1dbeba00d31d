variable "database" {
  description = <<-EOT
    PostgreSQL. existing_instance: the name of a Cloud SQL instance of this project with a private IP, whose database
    vividly_<environment> exists; everything but ssl_mode is then its own matter. Otherwise one is made. ssl_mode
    ENCRYPTED_ONLY, or TRUSTED_CLIENT_CERTIFICATE_REQUIRED (client certificate in the secrets database-client-cert and
    database-client-key). Either way DATABASE_URL verifies the server: see the output database_url_form. worker_user: the
    user of database-url, which the migrations grant what the worker needs; users are made by hand, before the first of them.
  EOT
  type = object({
    existing_instance   = optional(string)
    version             = optional(string, "POSTGRES_17")
    edition             = optional(string, "ENTERPRISE")
    tier                = optional(string, "db-custom-1-3840")
    availability        = optional(string, "ZONAL")
    disk_gb             = optional(number, 20)
    max_connections     = optional(number, 100)
    backups             = optional(number, 7)
    pitr_days           = optional(number, 7)
    ssl_mode            = optional(string, "ENCRYPTED_ONLY")
    deletion_protection = optional(bool, true)
    worker_user         = optional(string, "content_worker")
  })
  default = {}

  validation {
    condition     = var.database.existing_instance == null || can(regex("^[a-z][a-z0-9-]{0,96}[a-z0-9]$", var.database.existing_instance))
    error_message = "database.existing_instance is the name of an instance, without project and region."
  }
  validation {
    condition     = can(regex("^POSTGRES_(1[5-9]|[2-9][0-9])$", var.database.version))
    error_message = "database.version is POSTGRES_15 or newer."
  }
  validation {
    condition     = contains(["ENTERPRISE", "ENTERPRISE_PLUS"], var.database.edition)
    error_message = "database.edition is ENTERPRISE or ENTERPRISE_PLUS."
  }
  validation {
    # Editions have machines of their own: Cloud SQL would refuse the pair half-way through an apply.
    condition     = startswith(var.database.tier, "db-perf-optimized-") == (var.database.edition == "ENTERPRISE_PLUS")
    error_message = "database.tier is db-perf-optimized-… with ENTERPRISE_PLUS, and db-custom-… with ENTERPRISE."
  }
  validation {
    condition     = contains(["ZONAL", "REGIONAL"], var.database.availability) && (var.environment != "prod" || var.database.availability == "REGIONAL")
    error_message = "database.availability is ZONAL or REGIONAL; REGIONAL in prod, so that the loss of a zone is no outage."
  }
  validation {
    condition     = var.database.disk_gb >= 10 && var.database.disk_gb <= 65536
    error_message = "database.disk_gb is 10 to 65536."
  }
  validation {
    condition     = var.database.max_connections >= 25 && var.database.max_connections <= 10000
    error_message = "database.max_connections is 25 to 10000."
  }
  validation {
    condition     = var.database.backups >= 7 && var.database.backups <= 365
    error_message = "database.backups is 7 to 365 daily backups."
  }
  validation {
    condition     = var.database.pitr_days >= 1 && var.database.pitr_days <= (var.database.edition == "ENTERPRISE_PLUS" ? 35 : 7)
    error_message = "database.pitr_days is 1 to 7, or to 35 with ENTERPRISE_PLUS."
  }
  validation {
    condition     = contains(["ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"], var.database.ssl_mode)
    error_message = "database.ssl_mode is ENCRYPTED_ONLY or TRUSTED_CLIENT_CERTIFICATE_REQUIRED: nothing is spoken in the clear."
  }
  validation {
    condition     = can(regex("^[a-z_][a-z0-9_]{0,62}$", var.database.worker_user))
    error_message = "database.worker_user is a PostgreSQL user of a-z, 0-9 and _."
  }
  validation {
    condition     = var.database.existing_instance == null || var.network.existing != null
    error_message = "database.existing_instance is reached in its own VPC: set network.existing and network.subnetwork."
  }
  validation {
    condition     = var.environment != "prod" || var.database.deletion_protection
    error_message = "In prod the database has deletion protection."
  }
}

variable "network" {
  description = <<-EOT
    The VPC. existing: the name of one in this project, with subnetwork in the region; otherwise one is made.
    private_services_access: make the peering that the private IP of a new Cloud SQL instance needs; off where the existing
    network has it. For an existing instance none is made.
    egress: direct, or connector: connector_id names one that exists, otherwise one is made with connector_cidr.
  EOT
  type = object({
    existing                = optional(string)
    subnetwork              = optional(string)
    subnet_cidr             = optional(string, "10.8.0.0/24")
    private_services_access = optional(bool, true)
    egress                  = optional(string, "direct")
    connector_id            = optional(string)
    connector_cidr          = optional(string, "10.8.1.0/28")
  })
  default = {}

  validation {
    condition     = (var.network.existing == null) == (var.network.subnetwork == null)
    error_message = "network.existing and network.subnetwork are set together."
  }
  validation {
    # Direct egress takes two addresses for each instance while one replaces another.
    condition     = can(cidrnetmask(var.network.subnet_cidr)) && tonumber(split("/", var.network.subnet_cidr)[1]) <= 26
    error_message = "network.subnet_cidr is an IPv4 range of /26 or larger."
  }
  validation {
    condition     = contains(["direct", "connector"], var.network.egress)
    error_message = "network.egress is direct or connector."
  }
  validation {
    condition     = can(cidrnetmask(var.network.connector_cidr)) && endswith(var.network.connector_cidr, "/28")
    error_message = "network.connector_cidr is an IPv4 range of /28."
  }
  validation {
    condition     = var.network.connector_id == null || (var.network.egress == "connector" && can(regex("^projects/[^/]+/locations/[^/]+/connectors/[^/]+$", var.network.connector_id)))
    error_message = "network.connector_id is projects/PROJECT/locations/REGION/connectors/NAME, with egress connector."
  }
  validation {
    condition     = var.network.connector_id == null || var.network.existing != null
    error_message = "network.connector_id reaches its own VPC: set network.existing and network.subnetwork."
  }
}

variable "registry" {
  description = "How long images are kept: the newest keep_versions always, and those without a tag for untagged_days."
  type = object({
    keep_versions = optional(number, 30)
    untagged_days = optional(number, 30)
  })
  default = {}

  validation {
    condition     = var.registry.keep_versions >= 10 && var.registry.untagged_days >= 7
    error_message = "registry keeps at least 10 versions, and untagged ones 7 days: old builds still finish their runs, and a rollback needs its image."
  }
}

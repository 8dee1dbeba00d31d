variable "temporal" {
  description = <<-EOT
    Where Temporal is and how it is spoken to. auth: api_key or mtls (Temporal Cloud, or a cluster that asks for it), tls (no
    identity of ours), plaintext (neither; only with allow_plaintext, and never in prod). server_ca: the cluster's own
    authority is in the secret temporal-server-ca. What auth needs is read from the secrets temporal-api-key, or
    temporal-client-cert and temporal-client-key.
  EOT
  type = object({
    address         = string
    namespace       = optional(string, "default")
    task_queue      = optional(string, "content-generation")
    auth            = string
    server_ca       = optional(bool, false)
    server_name     = optional(string)
    allow_plaintext = optional(bool, false)
  })

  validation {
    condition     = can(regex("^[A-Za-z0-9.-]+:[0-9]{1,5}$", var.temporal.address))
    error_message = "temporal.address is host:port, without http://."
  }
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", var.temporal.namespace))
    error_message = "temporal.namespace is the name of a namespace; on Temporal Cloud NAME.ACCOUNT."
  }
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]*$", var.temporal.task_queue)) && var.temporal.task_queue != "content-dead-letter"
    error_message = "temporal.task_queue is a name, and not that of the dead letters' queue."
  }
  validation {
    condition     = contains(["api_key", "mtls", "tls", "plaintext"], var.temporal.auth)
    error_message = "temporal.auth is api_key, mtls, tls or plaintext."
  }
  validation {
    condition     = var.temporal.auth != "plaintext" || (var.temporal.allow_plaintext && var.environment != "prod")
    error_message = "Without TLS everybody on the way reads the students' words: set temporal.allow_plaintext to have it all the same. prod never has it."
  }
  validation {
    condition     = var.temporal.auth != "plaintext" || (!var.temporal.server_ca && var.temporal.server_name == null)
    error_message = "temporal.server_ca and server_name are of TLS, which plaintext turns off."
  }
}

variable "bridge" {
  description = "The job. interval_minutes: how often it is started. tasks: bridges at once in each run. settings: BRIDGE_* and RETRY_* of docs/settings.md."
  type = object({
    interval_minutes = optional(number, 1)
    paused           = optional(bool, false)
    tasks            = optional(number, 1)
    timeout_seconds  = optional(number, 600)
    cpu              = optional(string, "1")
    memory           = optional(string, "1Gi")
    settings         = optional(map(string), {})
  })
  default = {}

  validation {
    condition     = contains([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30], var.bridge.interval_minutes)
    error_message = "bridge.interval_minutes divides an hour: 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 or 30."
  }
  validation {
    condition     = var.bridge.tasks >= 1 && var.bridge.tasks <= 100 && floor(var.bridge.tasks) == var.bridge.tasks
    error_message = "bridge.tasks is 1 to 100."
  }
  validation {
    # Below, no run could drain; Cloud Run ends a task after seven days.
    condition     = var.bridge.timeout_seconds >= 120 && var.bridge.timeout_seconds <= 604800 && floor(var.bridge.timeout_seconds) == var.bridge.timeout_seconds
    error_message = "bridge.timeout_seconds is 120 to 604800."
  }
  validation {
    condition     = can(regex("^(1|2|4|8)$", var.bridge.cpu)) && can(regex("^[1-9][0-9]*Gi$", var.bridge.memory))
    error_message = "bridge.cpu is 1, 2, 4 or 8, and memory whole Gi: Node's heap alone has three quarters."
  }
  validation {
    condition     = try(tonumber(trimsuffix(var.bridge.memory, "Gi")) >= lookup({ "4" = 2, "8" = 4 }, var.bridge.cpu, 1), false)
    error_message = "bridge.memory is at least 2Gi with 4 CPU and 4Gi with 8: Cloud Run refuses less."
  }
  validation {
    condition = alltrue([
      for name in keys(var.bridge.settings) :
      can(regex("^(BRIDGE|RETRY)_[A-Z_]+$", name)) && !contains(["BRIDGE_MAX_RUNTIME_MS", "BRIDGE_ACK_DEADLINE_SECONDS"], name)
    ])
    error_message = "bridge.settings are BRIDGE_* and RETRY_*; the time limit follows bridge.timeout_seconds, the lease the subscription."
  }
}

variable "worker" {
  description = "The worker pool. instances: of the pattern itself; 0 where versions are on, for then the pipeline makes a pool for each build. settings: WORKER_*, DATABASE_*, GENERATOR_* and GEMINI_* of docs/settings.md. Instances × DATABASE_POOL_SIZE stay below the database's max_connections."
  type = object({
    versioning = optional(bool, true)
    instances  = optional(number, 0)
    cpu        = optional(string, "1")
    memory     = optional(string, "1Gi")
    settings   = optional(map(string), {})
  })
  default = {}

  validation {
    condition     = var.worker.instances >= 0 && var.worker.instances <= 100 && floor(var.worker.instances) == var.worker.instances
    error_message = "worker.instances is 0 to 100."
  }
  validation {
    # A versioned worker that nobody promotes gets no runs; an unversioned one that is not there runs none.
    condition     = var.worker.versioning == (var.worker.instances == 0)
    error_message = "worker.instances is 0 with versioning (the pipeline makes the pools), and at least 1 without."
  }
  validation {
    condition     = can(regex("^(1|2|4|8)$", var.worker.cpu)) && can(regex("^[1-9][0-9]*Gi$", var.worker.memory))
    error_message = "worker.cpu is 1, 2, 4 or 8, and memory whole Gi: Node's heap alone has three quarters."
  }
  validation {
    condition     = try(tonumber(trimsuffix(var.worker.memory, "Gi")) >= lookup({ "4" = 2, "8" = 4 }, var.worker.cpu, 1), false)
    error_message = "worker.memory is at least 2Gi with 4 CPU and 4Gi with 8: Cloud Run refuses less."
  }
  validation {
    condition = alltrue([
      for name in keys(var.worker.settings) :
      can(regex("^(WORKER|DATABASE|GENERATOR|GEMINI)_[A-Z_]+$", name)) && !contains([
        "DATABASE_URL", "GEMINI_API_KEY", "GEMINI_LOCATION", "GEMINI_MODEL", "GENERATOR_URL", "WORKER_DEPLOYMENT_NAME",
        "WORKER_VERSIONING", "WORKER_WORKFLOW_BUNDLE",
      ], name)
    ])
    error_message = "worker.settings are WORKER_*, DATABASE_*, GENERATOR_* and GEMINI_* that no other variable sets. A secret is none of them."
  }
}

variable "migrate_timeout_seconds" {
  description = "How long the migrations may take: an index that is built CONCURRENTLY on a large table takes hours."
  type        = number
  default     = 14400

  validation {
    condition     = var.migrate_timeout_seconds >= 600 && var.migrate_timeout_seconds <= 604800 && floor(var.migrate_timeout_seconds) == var.migrate_timeout_seconds
    error_message = "migrate_timeout_seconds is 600 to 604800."
  }
}

variable "generator" {
  description = "Who makes the content: template (offline), gemini (Vertex by the worker's account, or gemini_api_key: by the key in the secret provider-api-key), http (a provider of your own at url; calls are signed with the secret secret-key)."
  type = object({
    kind            = optional(string, "template")
    gemini_model    = optional(string)
    gemini_location = optional(string)
    gemini_api_key  = optional(bool, false)
    url             = optional(string)
  })
  default = {}

  validation {
    condition     = contains(["template", "gemini", "http"], var.generator.kind)
    error_message = "generator.kind is template, gemini or http."
  }
  validation {
    condition     = (var.generator.kind == "gemini") == (var.generator.gemini_model != null)
    error_message = "generator.gemini_model is set with kind gemini, and with no other."
  }
  validation {
    condition     = var.generator.kind == "gemini" || (!var.generator.gemini_api_key && var.generator.gemini_location == null)
    error_message = "generator.gemini_api_key and gemini_location belong to kind gemini."
  }
  validation {
    condition     = var.generator.kind == "http" ? can(regex("^https://", var.generator.url)) : var.generator.url == null
    error_message = "generator.url is an https address with kind http, and unset with any other."
  }
}

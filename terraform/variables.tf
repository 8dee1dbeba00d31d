variable "environment" {
  description = "Which environment this is; the prefix of its names. Each has a project and a state of its own."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment is dev, staging or prod."
  }
}

variable "project_id" {
  description = "The Google Cloud project. It exists already, with billing."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is a project's id (6 to 30 of a-z, 0-9, -), not its name or number."
  }
}

variable "region" {
  description = "Where everything runs."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is a region such as us-central1, not a zone."
  }
}

variable "registry_project" {
  description = "The project whose registry holds the image, where that is another one: an image is built once, and staging and prod run the same digest. Null = this project, and the registry is made here."
  type        = string
  default     = null

  validation {
    condition     = var.registry_project == null || can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.registry_project))
    error_message = "registry_project is a project's id."
  }
}

variable "registry_reader_projects" {
  description = "Numbers of the projects whose Cloud Run may pull from the registry that is made here."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for number in var.registry_reader_projects : can(regex("^[0-9]+$", number))])
    error_message = "registry_reader_projects are project numbers, as in: gcloud projects describe ID --format='value(projectNumber)'."
  }
}

variable "registry_readers" {
  description = "Members who deploy from the registry that is made here, elsewhere: serviceAccount:staging-content-deployer@PROJECT.iam.gserviceaccount.com. Cloud Run asks whether they may read the image."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.registry_readers : can(regex("^(serviceAccount|group|user):[^@ ]+@", member))])
    error_message = "registry_readers are serviceAccount:, group: or user: members."
  }
}

variable "image_digest" {
  description = "sha256:… of the image that jobs and pool are made with first. Null = the tag latest. After that the pipeline owns the image, and this is looked at no more."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "image_digest is sha256: and 64 hexadecimal digits."
  }
}

variable "publishers" {
  description = "Who publishes requests: members such as serviceAccount:api@PROJECT.iam.gserviceaccount.com."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.publishers : can(regex("^(serviceAccount|group|user|principal|principalSet):", member))])
    error_message = "publishers are IAM members with their kind before a colon; allUsers and allAuthenticatedUsers are none."
  }
}

variable "debug" {
  description = "The plan's DEBUG: log at debug level."
  type        = bool
  default     = false
}

variable "algorithm" {
  description = "The plan's ALGORITHM: what the worker signs the calls of a provider with."
  type        = string
  default     = "HS256"

  validation {
    condition     = contains(["HS256", "HS384", "HS512"], var.algorithm)
    error_message = "algorithm is HS256, HS384 or HS512."
  }
}

variable "cors_origins" {
  description = "The plan's CORS_ORIGINS. No process here serves browsers; the settings check them."
  type        = list(string)

  validation {
    condition     = length(var.cors_origins) > 0 && alltrue([for origin in var.cors_origins : can(regex("^https?://[^/,*]+$", origin))])
    error_message = "cors_origins are origins such as https://app.example.com: no path, no wildcard, at least one."
  }
}

variable "secret_versions" {
  description = "Key of a secret -> the number of the version that is used. What is not named uses latest, which prod refuses: there a new version is rolled out, and back, by a change that somebody has seen."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for version in values(var.secret_versions) : can(regex("^[1-9][0-9]*$", version))])
    error_message = "secret_versions are numbers, as in { database-url = \"3\" }."
  }
  validation {
    condition     = length(setsubtract(keys(var.secret_versions), local.secret_keys)) == 0
    error_message = "secret_versions names a secret that nobody here reads."
  }
  validation {
    condition     = var.environment != "prod" || length(setsubtract(local.secret_keys, keys(var.secret_versions))) == 0
    error_message = "In prod every secret has its version's number in secret_versions."
  }
}

variable "deployer" {
  description = "The pipeline. members: who may become its account, without a key: the subject of this environment's GitHub environment (principal://…/subject/repo:OWNER/NAME:environment:ENVIRONMENT), which its reviewers guard, or a user or group for deploying by hand, whom nobody reviews. Empty = no such account."
  type = object({
    members = optional(list(string), [])
  })
  default = {}

  validation {
    condition = alltrue([for member in var.deployer.members : can(regex("^principal://iam\\.googleapis\\.com/projects/[0-9]+/locations/global/workloadIdentityPools/[^/]+/subject/.+$|^(user|group|serviceAccount):[^@ ]+@", member))])
    # A set of a pool (a repository, or all of it) is whoever may push a branch: no reviewer is asked.
    error_message = "deployer.members are subjects of a workload identity pool, no sets of it, or user:, group:, serviceAccount: members."
  }
  validation {
    condition     = alltrue([for member in var.deployer.members : endswith(member, ":environment:${var.environment}") if strcontains(member, "/subject/repo:")])
    error_message = "A GitHub subject in deployer.members is that of this environment: …/subject/repo:OWNER/NAME:environment:ENVIRONMENT."
  }
}

variable "runbook_url" {
  description = "Where docs/runbook.md is read; each alert links to its section."
  type        = string

  validation {
    condition     = can(regex("^https://[^#]+$", var.runbook_url))
    error_message = "runbook_url is an https address without a #fragment."
  }
}

variable "alert_emails" {
  description = "Who gets the alerts by mail; a channel is made for each."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "alert_emails are mail addresses."
  }
}

variable "notification_channels" {
  description = "Channels that exist (PagerDuty, Slack …), by their full names."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "notification_channels are projects/PROJECT/notificationChannels/NUMBER."
  }
  validation {
    condition     = var.environment != "prod" || length(var.notification_channels) + length(var.alert_emails) > 0
    error_message = "In prod somebody hears the alerts: set notification_channels or alert_emails."
  }
}

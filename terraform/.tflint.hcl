# The ruleset for google is no module that go can install (its releases are binaries): what it checks, names of regions and
# machines, the tests and the provider's schema check as far as they go.
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# One main.tf for everything would be what the files by theme are there to avoid.
rule "terraform_standard_module_structure" {
  enabled = false
}

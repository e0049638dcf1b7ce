# how the value of a secret can be written where a template puts it in; also in generator/src/placeholder.rs, which
# generator/tests/nix.rs checks.
[
  "json"
  "url"
  "shell"
  "base64"
  "hex"
  "environment"
  "xml"
]

# settings.flake → folders and files below it, and the repository that they are in.
{
  lib,
  cfg,
  # The flake that is built, and its inputs: only to name repositories in messages.
  self ? null,
  inputs ? self.inputs or { },
}:
let
  inherit (cfg.settings) flake;
  inherit (import ./cache-name.nix) withoutComment;
  inherit (import ./flake-path.nix) directory;
in
rec {
  # What the flake module or `configure` sets for all hosts.
  flakeOutput = if builtins.isAttrs flake then flake.vaultix or { } else { };

  # Without a flake, a path that names the reason: assertions check `flake` first.
  below =
    path:
    if flake == null then "/no-flake/${directory path}" else "${toString flake}/${directory path}";

  defaultFile = id: below "${directory cfg.settings.defaultSecretDirectory}/${id}.age";

  cacheDirectory = "${directory cfg.settings.cache}/${cfg.settings.hostIdentifier}";

  # Where the copies of all hosts are.
  cacheRoot = below cfg.settings.cache;

  # file of the flake or of one of its inputs → what it is called. Inputs are looked at only for one that is
  # not in the flake, since they would be fetched.
  shown =
    file:
    let
      isIn = place: lib.hasPrefix "${toString place}/" (toString file);
      from = place: lib.removePrefix "${toString place}/" (toString file);
      name = lib.findFirst (name: isIn inputs.${name}) null (builtins.attrNames inputs);
    in
    if self == null || isIn self then
      from (if self == null then flake else self)
    else if name != null then
      "${name}:${from inputs.${name}}"
    else
      from flake;

  # The input that a file is in, as `shown` calls it; null for a file of the flake.
  inputOf =
    text:
    let
      found = builtins.match "([^:]+):.*" text;
    in
    if found == null || !(inputs ? ${lib.head found}) then null else lib.head found;

  # Type of the private key that belongs to a recipient.
  recipientKeyType =
    recipient:
    let
      text = withoutComment recipient;
    in
    if lib.hasPrefix "ssh-ed25519 " text then
      "ed25519"
    else if lib.hasPrefix "ssh-rsa " text then
      "rsa"
    else
      "age";
}

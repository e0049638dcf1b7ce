# settings.flake → folders and files below it.
{ lib, cfg }:
let
  inherit (cfg.settings) flake;
  inherit (import ./cache-name.nix) withoutComment;

  plain = path: lib.removeSuffix "/" (lib.removePrefix "/" (lib.removePrefix "." path));
in
rec {
  # What the flake module or `configure` sets for all hosts.
  flakeOutput = if builtins.isAttrs flake then flake.vaultix or { } else { };

  # Without a flake, a path that names the reason: assertions check `flake` first.
  below =
    path: if flake == null then "/no-flake/${plain path}" else "${toString flake}/${plain path}";

  defaultFile = id: below "${plain cfg.settings.defaultSecretDirectory}/${id}.age";

  cacheDirectory = "${plain cfg.settings.cache}/${cfg.settings.hostIdentifier}";

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

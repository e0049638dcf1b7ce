# settings of a host → whether it still waits for a recipient of its own, and what it has until then.
{ lib, cfg }:
let
  inherit (cfg.settings) enroll hostKeys hostPubkey;
in
rec {
  # Where the identity is unless hostKeys says something else. Also in units/src/enroll.rs.
  path = "/var/lib/vaultix/host.age";

  isWaiting = enroll && hostPubkey == "";

  # What an identity of age may be in, as the unit that makes it looks for its place.
  types = [
    "age"
    "credential"
  ];
  isSealed = key: key.type == "credential";

  # The files that may hold it.
  keys = lib.optionals enroll (lib.filter (key: lib.elem key.type types) hostKeys);
  places = map (key: key.path) keys;

  # All files that a key of the host is in: systemd seals with one of its own, unless there is only a TPM.
  files = hostKeys ++ lib.optional (lib.any isSealed hostKeys) { path = hostSecret; };
  # Also in generator/src/profile.rs.
  hostSecret = "/var/lib/systemd/credential.secret";

  # Nothing can be encrypted to it, so it has no items.
  host =
    if isWaiting then
      cfg
      // {
        secrets = { };
        templates = { };
        beforeUserborn = [ ];
      }
    else
      cfg;
}

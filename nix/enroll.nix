# settings of a host → whether it still waits for a recipient of its own, and what it has until then.
{ lib, cfg }:
let
  inherit (cfg.settings) enroll hostKeys hostPubkey;
in
rec {
  # Where the identity is unless hostKeys says something else. Also in units/src/enroll.rs.
  path = "/var/lib/vaultix/host.age";

  isWaiting = enroll && hostPubkey == "";

  # The files that may hold it.
  places = map (key: key.path) (lib.optionals enroll (lib.filter (key: key.type == "age") hostKeys));

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

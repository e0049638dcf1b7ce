# names at the root of the repository → what both packages have in common, with these sources: only what a package is
# built from, so that a change elsewhere builds nothing.
{ lib }:
names:
let
  root = toString ../.;
  isAbove = inside: lib.any (lib.hasPrefix "${inside}/") names;
in
{
  inherit ((lib.importTOML ../Cargo.toml).workspace.package) version;
  # Not lib.fileset, which asks more of nix than the rest of this flake does.
  src = lib.cleanSourceWith {
    name = "vaultix-source";
    src = ../.;
    filter =
      path: _:
      let
        inside = lib.removePrefix "${root}/" (toString path);
      in
      isAbove inside || lib.any (name: inside == name || lib.hasPrefix "${name}/" inside) names;
  };
  cargoLock.lockFile = ../Cargo.lock;
  strictDeps = true;
  outputs = [
    "out"
    "man"
  ];
  # The tests are a check of their own, and need tools that a package does not.
  doCheck = false;
}

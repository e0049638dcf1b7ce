# names at the root of the repository → the sources of one package: only what it is built from, so that a change
# elsewhere builds nothing.
#
# Not lib.fileset, which asks more of nix than the rest of this flake does.
{ lib }:
names:
let
  root = toString ../.;
  isAbove = inside: lib.any (lib.hasPrefix "${inside}/") names;
in
lib.cleanSourceWith {
  name = "vaultix-source";
  src = ../.;
  filter =
    path: _:
    let
      inside = lib.removePrefix "${root}/" (toString path);
    in
    isAbove inside || lib.any (name: inside == name || lib.hasPrefix "${name}/" inside) names;
}

# package set → the two packages: `vaultix` for the desk, `vaultix-boot` for a host.
{ pkgs }:
{
  vaultix = pkgs.callPackage ./vaultix.nix { };
  vaultix-boot = pkgs.callPackage ./vaultix-boot.nix { };
}

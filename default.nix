# for those without flakes → the modules, the packages, and `configure` for a `vaultix.nix`.
{
  pkgs ? import <nixpkgs> { },
}:
let
  packagesOf = pkgs: import ./nix/package.nix { inherit pkgs; };
in
{
  inherit (packagesOf pkgs) vaultix vaultix-boot;
  nixosModules.default = ./nix/module.nix;
  nixosModules.agenix = ./nix/agenix.nix;
  homeModules.default = ./nix/home-module.nix;
  configure = import ./nix/configure.nix {
    inherit (pkgs) lib;
    inherit packagesOf;
    pkgsFor.${pkgs.stdenv.hostPlatform.system} = pkgs;
  };
}

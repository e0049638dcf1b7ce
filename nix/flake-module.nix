# flake-parts → `flake.vaultix`.
#
# `packagesOf` is a function from a package set to this flake's packages.
{ packagesOf }:
{
  config,
  lib,
  self,
  flake-parts-lib,
  ...
}:
let
  inherit (lib) literalExpression mkOption types;
in
{
  _class = "flake";
  _file = ./flake-module.nix;

  options = {
    flake.vaultix = mkOption {
      type = types.submodule (
        import ./desk.nix {
          defaultNodes = self.nixosConfigurations or { };
          systems = builtins.mapAttrs (_: system: {
            inherit (system.vaultix) pkgs;
            inherit (packagesOf system.vaultix.pkgs) vaultix;
          }) config.allSystems;
        }
      );
      default = { };
      description = ''
        Secrets of this flake's hosts.

        Read by `vaultix` and by the NixOS module.
      '';
    };

    perSystem = flake-parts-lib.mkPerSystemOption (
      { pkgs, ... }:
      {
        options.vaultix.pkgs = mkOption {
          type = types.raw;
          default = pkgs;
          defaultText = literalExpression "pkgs";
          description = ''
            Package set that the commands in {option}`flake.vaultix.app` are made from.

            Change it to have them from another nixpkgs than the rest of the flake.
          '';
        };
      }
    );
  };
}

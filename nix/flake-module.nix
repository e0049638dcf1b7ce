# flake-parts → `flake.vaultix`.
{
  # package set → this flake's packages
  packagesOf,
}:
let
  module =
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
      options.flake.vaultix = mkOption {
        type = types.submodule (
          import ./flake-options.nix {
            defaultNodes = self.nixosConfigurations or { };
            defaultHomes = self.homeConfigurations or { };
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

      options.perSystem = flake-parts-lib.mkPerSystemOption (
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
in
# Not the function itself: an import in the wrong place has to get a message that names the right one before
# flake-parts' arguments are needed. `key` lets two modules import it.
{
  _class = "flake";
  _file = ./flake-module.nix;
  key = toString ./flake-module.nix;
  imports = [ module ];
}

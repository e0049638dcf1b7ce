# a flake without flake-parts + its options → the value of its output `vaultix`.
{
  lib,
  # system → package set
  pkgsFor,
  # package set → this flake's packages
  packagesOf,
}:
{
  localFlake ? null,
  systems ? builtins.attrNames pkgsFor,
  ...
}@arguments:
(lib.evalModules {
  modules = [
    (import ./flake-options.nix {
      defaultNodes = localFlake.nixosConfigurations or { };
      defaultHomes = localFlake.homeConfigurations or { };
      systems = lib.genAttrs systems (system: {
        pkgs = pkgsFor.${system};
        inherit (packagesOf pkgsFor.${system}) vaultix;
      });
    })
    (lib.setDefaultModuleLocation "the arguments of vaultix.configure" {
      config = builtins.removeAttrs arguments [
        "localFlake"
        "systems"
      ];
    })
  ];
}).config

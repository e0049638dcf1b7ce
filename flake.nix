{
  description = "Secrets for NixOS: age files in git, one systemd unit per secret on the host";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      linux = [
        "x86_64-linux"
        "aarch64-linux"
        "riscv64-linux"
      ];
      # nixpkgs 26.11 has no x86_64-darwin any more: whoever asks for it gets an error.
      darwin = [
        "aarch64-darwin"
      ] ++ lib.optional (lib.versionOlder lib.trivial.release "26.11") "x86_64-darwin";
      pkgsFor = lib.filterAttrs (system: _: lib.elem system (linux ++ darwin)) nixpkgs.legacyPackages;
      packagesOf = pkgs: import ./nix/package.nix { inherit pkgs; };
      each = f: lib.mapAttrs (_: f) pkgsFor;
      checksFor = pkgs: import ./nix/checks.nix { inherit pkgs self; };
    in
    {
      packages = each (pkgs: {
        default = (packagesOf pkgs).vaultix;
        ${if pkgs.stdenv.hostPlatform.isLinux then "vaultix-boot" else null} =
          (packagesOf pkgs).vaultix-boot;
        inherit (packagesOf pkgs) vaultix;
      });
      overlays.default = final: _: { inherit (packagesOf final) vaultix vaultix-boot; };

      nixosModules.default = ./nix/module.nix;
      nixosModules.agenix = ./nix/agenix.nix;
      nixosModules.vaultix = self.nixosModules.default;
      homeModules.default = ./nix/home-module.nix;
      homeManagerModules = self.homeModules;
      flakeModules.default = import ./nix/flake-module.nix { inherit packagesOf; };
      configure = import ./nix/configure.nix { inherit lib pkgsFor packagesOf; };

      templates.default.path = ./nix/template;
      templates.default.description = "a NixOS host with secrets";

      # Not for riscv64, where formatters of Nix would need GHC.
      checks = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: checksFor pkgsFor.${system});
      devShells = each (pkgs: {
        default = import ./nix/shell.nix { inherit pkgs; };
      });
      formatter = each (pkgs: pkgs.nixfmt-tree);
    };
}

{
  description = "A NixOS host with secrets";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # OWNER: where you have Vaultix from.
    vaultix.url = "github:OWNER/vaultix";
    vaultix.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    {
      self,
      nixpkgs,
      vaultix,
    }:
    {
      nixosConfigurations.example = nixpkgs.lib.nixosSystem {
        specialArgs = { inherit self; };
        modules = [
          vaultix.nixosModules.default
          ./example.nix
        ];
      };

      vaultix = vaultix.configure {
        localFlake = self;
        # The file that `vaultix init` made. A string, so that it stays out of the Nix store.
        identity = "/home/me/identity.txt";
        # Its recipient, which `vaultix recipient` prints, so that a new secret does not need the identity.
        # recipient = "age1…";
      };
    };
}

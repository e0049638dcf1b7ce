# what `nixosModules.default` is.
{
  _class = "nixos";
  _file = ./module.nix;
  imports = [
    ./options.nix
    ./config.nix
  ];
}

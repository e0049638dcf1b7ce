# what home-manager takes of nixpkgs' module of this name: an option that is in every module, and in no result.
{ lib, ... }:
{
  options.meta = lib.mkOption {
    type = lib.types.attrsOf lib.types.unspecified;
    default = { };
  };
}

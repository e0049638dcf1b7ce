# all options of one template: its own, and those of placement.nix.
{
  lib,
  cfg,
  users,
}:
let
  inherit (lib) literalExpression mkOption types;
in
types.submodule {
  imports = [
    (import ./placement.nix {
      inherit lib cfg users;
      kind = "template";
    })
  ];
  options = {
    content = mkOption {
      type = types.str;
      default = "";
      example = literalExpression ''"password = ''${config.vaultix.placeholder.db}"'';
      description = ''
        Text of the file, with {option}`vaultix.placeholder` where the values of secrets go.

        The text itself is no secret: everyone can read it in the Nix store. Values are put in on the host.
      '';
    };

    trim = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether white space at both ends of each value is left out.

        Most editors end a file with a newline, which few configuration files want in the middle of a line.
      '';
    };
  };
}

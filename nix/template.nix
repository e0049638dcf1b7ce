# all options of one template, on a host or in a home: its own, and those of `placement`.
{
  lib,
  words,
  # Has the secrets that a file may name, and their placeholders.
  cfg,
  # The module with the options that secrets have as well.
  placement,
}:
let
  inherit (lib)
    literalExpression
    literalMD
    mkOption
    types
    ;
  filled = import ./template-file.nix { inherit lib cfg; };
in
types.submodule (
  { config, ... }:
  {
    imports = [ placement ];
    options = {
      content = mkOption {
        type = types.str;
        default =
          if config.file != null && builtins.pathExists config.file then (filled config.file).text else "";
        defaultText = literalMD "the text of `file`, or `\"\"`";
        example = literalExpression ''"password = ''${config.vaultix.placeholder.db}"'';
        description = ''
          Text of the file, with {option}`vaultix.placeholder` where the values of secrets go, or
          {option}`vaultix.placeholderAs` where a value has to be quoted or encoded.

          The text itself is no secret: everyone can read it in the Nix store. Values are put in on the host.
        '';
      };

      file = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = literalExpression "./app.conf";
        description = ''
          File with the text, instead of `content`.

          In it, `@vaultix:<${words.called}>@` stands for the value of a secret, and `@vaultix.<encoding>:<${words.called}>@` for the value in one of
          the encodings of {option}`vaultix.placeholderAs`. A secret whose ${words.called} contains `@` or a line break cannot be named
          in this way.
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
)

# options that hold what stands for the values of secrets in templates, on a host or in a home.
{
  lib,
  cfg,
  words,
}:
let
  inherit (lib)
    literalExpression
    literalMD
    mkOption
    types
    ;
  inherit (import ./types.nix { inherit lib; }) placeholder;
in
{
  placeholder = mkOption {
    type = types.attrsOf placeholder;
    default = { };
    defaultText = literalMD "one for each secret";
    example = literalExpression "config.vaultix.placeholder.db";
    description = ''
      What stands for the value of a secret in the content of a template, by the secret's ${words.called}.

      Set by the module; use it in templates.
    '';
  };

  placeholderAs = mkOption {
    type = types.attrsOf (types.attrsOf types.str);
    readOnly = true;
    default = lib.genAttrs (import ./encodings.nix) (
      encoding:
      builtins.mapAttrs (_: text: "${lib.removeSuffix " }}" text} ${encoding} }}") cfg.placeholder
    );
    defaultText = literalMD "for each encoding, one for each secret";
    example = literalExpression "config.vaultix.placeholderAs.json.db";
    description = ''
      What stands for the value of a secret, written as its place needs it, by encoding and by the secret's ${words.called}.

      - `json`: the inside of a JSON string, without its quotes
      - `url`: percent-encoded (RFC 3986), for any part of a URL
      - `shell`: one word of a shell, in quotes
      - `base64`: with padding, in one line
      - `hex`: lower-case digits
      - `environment`: the value of a variable in an `EnvironmentFile=` of systemd, in quotes
      - `xml`: text of an element or of an attribute, without its quotes

      White space at both ends is removed first, unless `trim = false`. A value that has no such form, for example bytes
      that are not UTF-8 in JSON, is a failure of the template's unit.
    '';
  };
}

# options of `vaultix.settings` that a host and a home of no host both have.
{
  lib,
  # The flake, if it is known.
  self,
  # What a configuration is called here, and what has the same setting.
  words,
  cfg,
}:
let
  inherit (lib)
    literalExpression
    literalMD
    mkOption
    types
    ;
  inherit (import ./types.nix { inherit lib; }) belowFlake;
  inherit (import ./root.nix { inherit lib cfg; }) flakeOutput;
in
{
  keepGenerations = mkOption {
    type = types.ints.unsigned;
    default = 1;
    description = ''
      How many generations of plaintexts are kept, including the current one; 0 keeps all.

      Keep more if programs keep a directory of an older one open.
    '';
  };

  flake = mkOption {
    type = types.nullOr (
      types.addCheck types.raw (value: builtins.isPath value || lib.isStringLike value)
      // {
        description = "flake or path";
      }
    );
    default = self;
    defaultText = literalMD "`self` or `inputs.self` from ${words.arguments} or `_module.args`";
    example = literalExpression "self";
    description = ''
      The flake that this ${words.machine} belongs to, or the folder that contains the cache.

      Used only during evaluation: it does not become part of the ${words.machine}.
    '';
  };

  cache = mkOption {
    type = belowFlake;
    default = flakeOutput.cache or "./secrets/cache";
    defaultText = literalMD "`vaultix.cache` of the flake, or `\"./secrets/cache\"`";
    description = ''
      Where `vaultix renc` puts the ciphertexts${words.forWhom}, relative to {option}`vaultix.settings.flake`.

      Set it in the flake, for ${words.everywhere} at once.
    '';
  };

  defaultSecretDirectory = mkOption {
    type = belowFlake;
    default = flakeOutput.defaultSecretDirectory or "./secrets";
    defaultText = literalMD "`vaultix.defaultSecretDirectory` of the flake, or `\"./secrets\"`";
    description = ''
      ${words.defaultFiles}

      Set it in the flake, for ${words.everywhere} at once.
    '';
  };
}

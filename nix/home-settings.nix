# options of a home of no host, `vaultix.settings` in home-manager: what only a host says otherwise.
{
  config,
  lib,
  # The flake, if it is known.
  self,
}:
let
  inherit (lib)
    literalExpression
    literalMD
    mkOption
    types
    ;
  inherit (import ./types.nix { inherit lib; }) absolutePath belowFlake recipient;
  inherit (import ./private.nix { inherit lib; }) orPrivate;
  inherit (import ./root.nix { inherit lib; cfg = config.vaultix; }) flakeOutput;
in
{
  identifier = mkOption {
    type = types.strMatching "([A-Za-z0-9_@-][A-Za-z0-9_.@-]*)?";
    default = "";
    example = "alice@laptop";
    description = ''
      Name of the directory of this home in the cache; no other home and no host may have the same.

      After a change, run `vaultix renc`.
    '';
  };

  recipient = mkOption {
    type = recipient;
    default = "";
    example = "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq";
    description = ''
      Public key of the user on this machine, as text or as a file of the flake.

      `vaultix renc` encrypts the secrets of this home to it. `vaultix-decrypt enroll --user` on the machine makes an identity
      and prints it.
    '';
  };

  identities = mkOption {
    type = types.listOf (orPrivate types.externalPath);
    default = [ "${config.xdg.configHome}/vaultix/home.age" ];
    defaultText = literalExpression "[ \"\${config.xdg.configHome}/vaultix/home.age\" ]";
    description = ''
      Files with the identity that belongs to {option}`vaultix.settings.recipient`, in the order in which they are tried.

      Read by units, never by Nix. An identity with a passphrase cannot be used: nobody is there to enter it. So make one
      for this with `vaultix-decrypt enroll --user`, instead of taking the passphrase off another key.
    '';
  };

  decryptedDir = mkOption {
    type = absolutePath;
    default = "${config.xdg.stateHome}/vaultix";
    defaultText = literalExpression "\"\${config.xdg.stateHome}/vaultix\"";
    description = ''
      Where programs find secrets and templates.

      A symlink to the current generation, in the runtime directory of the user.
    '';
  };

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
    defaultText = literalMD "`self` or `inputs.self` from `extraSpecialArgs` or `_module.args`";
    example = literalExpression "self";
    description = ''
      The flake that this home belongs to, or the folder that contains the cache.

      Used only during evaluation: it does not become part of the home.
    '';
  };

  cache = mkOption {
    type = belowFlake;
    default = flakeOutput.cache or "./secrets/cache";
    defaultText = literalMD "`vaultix.cache` of the flake, or `\"./secrets/cache\"`";
    description = ''
      Where `vaultix renc` puts the ciphertexts, relative to {option}`vaultix.settings.flake`.

      Set it in the flake, for all hosts and homes at once.
    '';
  };

  defaultSecretDirectory = mkOption {
    type = belowFlake;
    default = flakeOutput.defaultSecretDirectory or "./secrets";
    defaultText = literalMD "`vaultix.defaultSecretDirectory` of the flake, or `\"./secrets\"`";
    description = ''
      Where the directory with the files of this user is that secrets without `file` have, relative to
      {option}`vaultix.settings.flake`.

      Set it in the flake, for all hosts and homes at once.
    '';
  };
}

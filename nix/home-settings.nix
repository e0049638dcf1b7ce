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
    mkOption
    types
    ;
  inherit (import ./types.nix { inherit lib; }) absolutePath recipient;
  inherit (import ./private.nix { inherit lib; }) orPrivate;
in
import ./common-settings.nix {
  inherit lib self;
  cfg = config.vaultix;
  words = (import ./words.nix { inherit lib; }).home;
}
// {
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
}

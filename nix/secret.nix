# type of one secret.
{
  lib,
  cfg,
  users,
  defaultFile,
}:
let
  inherit (lib) literalExpression mkOption types;

  insert = types.submodule {
    options = {
      order = mkOption {
        type = types.ints.u32;
        default = 0;
        description = ''
          Rank of this text among those of one secret.

          The lower one is put in first; equals follow their placeholders' order.
        '';
      };
      content = mkOption {
        type = types.str;
        description = ''
          Text to put in; not a secret, since it is readable by everyone in the Nix store.

          Taken as it is: placeholders in it stay what they are.
        '';
      };
    };
  };
in
types.submodule (
  { name, ... }:
  {
    imports = [
      (import ./placement.nix {
        inherit lib cfg users;
        kind = "secret";
      })
    ];
    options = {
      id = mkOption {
        type = types.str;
        readOnly = true;
        default = name;
        defaultText = literalExpression "<name>";
        description = ''
          Name of the secret everywhere but in the file system.

          It is the instance of the unit and what messages call the secret.
        '';
      };

      file = mkOption {
        type = types.path;
        default = defaultFile name;
        defaultText = literalExpression ''"''${self}/''${defaultSecretDirectory}/<name>.age"'';
        example = literalExpression "./secrets/wifi.age";
        description = ''
          The encrypted file, readable with the master identity.

          Only the desk reads it. A host gets the one made from it by `vaultix renc`.
        '';
      };

      allowDisk = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether the plaintext may be written to a disk, with `symlink = false`.

          It then outlives the system's running: in backups, in snapshots, on a stolen disk.
        '';
      };

      insert = mkOption {
        type = types.attrsOf insert;
        default = { };
        example = literalExpression ''
          {
            "81c4b7f7e0549f1514e9cae97cf40cf133920418d3dc71bedbf60ec9bd6148cb".content = "text";
          }
        '';
        description = ''
          Plain text to put into the secret, by the 64 hex digits that stand there as `{{ digits }}`.

          Put in on the host, after decryption and before templates use the secret. Make digits with
          `openssl rand -hex 32`.
        '';
      };

      cleanPlaceholder = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether placeholders that `insert` has no text for are removed.

          Otherwise they stay in the file as they are.
        '';
      };
    };
  }
)

# type of one secret.
{
  lib,
  cfg,
  users,
  defaultFile,
}:
let
  inherit (lib) literalExpression mkOption types;

  # What goes with which kind is checked where secrets are generated.
  generator = types.coercedTo (types.enum kinds) (kind: { inherit kind; }) (
    types.submodule {
      options = {
        kind = mkOption {
          type = types.enum kinds;
          description = ''
            What is made.

            - `alnum`: `length` letters and digits; 32 by default, 190 bits
            - `base64`, `hex`: `length` random bytes, written so; 32 by default, 256 bits
            - `passphrase`: `length` words of a list of 2048; 8 by default, 88 bits
            - `ssh-ed25519`, `wireguard`, `age`: a private key; its public half is written beside `file`, with
              `.pub` for `.age`
            - `htpasswd`: a line for web servers with the bcrypt hash of the secret in `dependencies`
            - `command`: what a program prints
          '';
        };

        length = mkOption {
          type = types.nullOr (types.ints.between 1 65536);
          default = null;
          example = 64;
          description = ''
            How much is made, as `kind` says.

            With `null`, the default of the kind.
          '';
        };

        dependencies = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "admin-password" ];
          description = ''
            Ids of secrets of this host that the secret is made from.

            Those that do not exist are generated first; those that do are opened with the master identity. A
            command finds each in a file of its name in the directory `$VAULTIX_DEPENDENCIES`, in memory.
          '';
        };

        user = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "admin";
          description = ''
            User whose line `htpasswd` makes.

            Without a colon.
          '';
        };

        command = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [
            "openssl"
            "genrsa"
            "4096"
          ];
          description = ''
            Program whose output becomes the secret, and its arguments; no shell is in between.

            It runs at the root of the flake, and is found in `PATH`: evaluation builds no package that is named
            here, but {option}`vaultix.extraPackages` does.
          '';
        };
      };
    }
  );
  kinds = [
    "alnum"
    "base64"
    "hex"
    "passphrase"
    "ssh-ed25519"
    "wireguard"
    "age"
    "htpasswd"
    "command"
  ];

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

          It lies in the repository of the flake, or in an input. Only the desk reads it: a host gets the one made
          from it by `vaultix renc`.
        '';
      };

      generator = mkOption {
        type = types.nullOr generator;
        default = null;
        example = "alnum";
        description = ''
          How `vaultix generate` makes the secret while its `file` does not exist.

          A host does not get to see it. A string stands for `{ kind = "…"; }`.
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

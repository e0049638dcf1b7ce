# all options of one secret, on a host or in a home: its own, the kinds of generators among them, and those of `placement`.
{
  lib,
  words,
  # The module with the options that templates have as well.
  placement,
  # id → its file where none is set
  defaultFile,
  # name → id on the host
  idOf ? (name: name),
}:
let
  inherit (lib)
    literalExpression
    literalMD
    mkOption
    types
    ;
  format = import ./format.nix;

  # What goes with which kind is checked where secrets are generated.
  generator = types.coercedTo (types.enum kinds) (kind: { inherit kind; }) (
    types.submodule {
      options = {
        kind = mkOption {
          type = types.enum kinds;
          description = ''
            What is generated.

            - `alnum`: `length` letters and digits; 32 by default, 190 bits
            - `base64`, `hex`: `length` random bytes in this encoding; 32 by default, 256 bits
            - `passphrase`: `length` words from a list of 2048; 8 by default, 88 bits
            - `ssh-ed25519`, `wireguard`, `age`: a private key; its public key is written next to `file`, with
              `.pub` instead of `.age`; for a value with a `key`, as `mail.dkim.pub` next to `mail.yaml.age`
            - `htpasswd`: a line for web servers with the bcrypt hash of the secret in `dependencies`
            - `command`: the output of a program
          '';
        };

        length = mkOption {
          type = types.nullOr (types.ints.between 1 65536);
          default = null;
          example = 64;
          description = ''
            How much is generated, see `kind`.

            `null` means the default of the kind.
          '';
        };

        dependencies = mkOption {
          type = types.listOf (types.either types.str ofOtherHost);
          default = [ ];
          example = [
            "admin-password"
            {
              host = "db1";
              secret = "root-password";
            }
          ];
          description = ''
            ${words.dependencies} One of another host is written as `{ host = "…"; secret = "…"; }`, with the
            {option}`vaultix.settings.hostIdentifier` of that host and the id there.

            Those that do not exist are generated first; existing ones are decrypted with the master identity. A
            command finds each in a file of that name in the directory `$VAULTIX_DEPENDENCIES`, in memory; one of another
            host in `HOST/ID`.
          '';
        };

        user = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "admin";
          description = ''
            User name in the line that `htpasswd` makes.

            It must not contain a colon.
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
            Program whose output becomes the secret, and its arguments; no shell is used.

            It runs in the root of the flake and is searched for in `PATH`: a package that is named here is not built
            by evaluation, so add it to {option}`vaultix.extraPackages`.
          '';
        };
      };
    }
  );
  # The same as in generator/src/profile/generator.rs, which generator/tests/nix.rs checks.
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

  ofOtherHost = types.submodule {
    options = {
      host = mkOption {
        type = types.str;
        example = "db1";
        description = "The {option}`vaultix.settings.hostIdentifier` of the host that has the secret.";
      };
      secret = mkOption {
        type = types.str;
        example = "root-password";
        description = "The id of the secret there.";
      };
    };
  };

  insert = types.submodule {
    options = {
      order = mkOption {
        type = types.ints.u32;
        default = 0;
        description = ''
          Rank of this text among those of one secret.

          Lower ranks are inserted first; equal ones in the order of their placeholders.
        '';
      };
      content = mkOption {
        type = types.str;
        description = ''
          Text to insert; it is not secret, since everyone can read it in the Nix store.

          Inserted as it is: placeholders in it are not replaced.
        '';
      };
    };
  };
in
types.submodule (
  { name, config, ... }:
  {
    imports = [ placement ];
    options = {
      id = mkOption {
        type = types.str;
        readOnly = true;
        default = idOf name;
        defaultText = words.id;
        description = ''
          Name of the secret everywhere except in the file system.

          It is the instance of the unit and the name in messages.
        '';
      };

      file = mkOption {
        type = types.path;
        default = defaultFile (idOf name);
        defaultText = words.file;
        example = literalExpression "./secrets/wifi.age";
        description = ''
          The encrypted file, readable with the master identity.

          It is in the repository of the flake, or in an input. It is never copied to a host: a host gets the file that
          `vaultix renc` makes from it.
        '';
      };

      key = mkOption {
        type = types.nullOr (types.either types.str (types.listOf types.str));
        default = null;
        example = "smtp/password";
        description = ''
          Where the value is in `file`, if that contains many: `vaultix renc` makes a copy of this value alone for the
          host.

          A text is split at slashes; one that begins with a slash is a JSON pointer (RFC 6901), in which `~1` is a slash
          and `~0` a tilde; a list of keys is taken as it is. The keys of a list are numbers from 0. A string is the secret
          byte for byte, a number, boolean or null as the file writes it, and a map or list becomes JSON.
        '';
      };

      format = mkOption {
        type = types.nullOr (types.enum format.formats);
        default = format.of config.file;
        defaultText = literalMD "what the name of `file` has before `.age`: `json`, `yaml` or `yml`, `toml`, `env`, `ini`";
        example = "yaml";
        description = ''
          How `file` is written, if it contains many values.

          Used with `key` alone.
        '';
      };

      generator = mkOption {
        type = types.nullOr generator;
        default = null;
        example = "alnum";
        description = ''
          How `vaultix generate` makes the secret if its `file` does not exist.

          Not part of a host's profile. A string is short for `{ kind = "…"; }`.
        '';
      };

      intermediary = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = ''
          Whether other secrets are generated from it and nothing else: the host gets nothing of it.

          It has no copy, no unit and no `path`, and is not part of the host's profile. `vaultix edit`, `generate` and
          `rekey` know it like any other.
        '';
      };

      rotate = mkOption {
        type = types.nullOr (types.strMatching "[1-9][0-9]{0,3}[dwy]");
        default = null;
        example = "90d";
        description = ''
          How long the secret may stay as it is, in days, weeks or years: `90d`, `12w`, `1y`.

          When its file has not changed for longer, `vaultix check` warns, and fails with `--strict`. Not part of a host's
          profile.
        '';
      };

      allowDisk = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether the plaintext may be written to a disk, with `symlink = false`.

          It then remains after shutdown: in backups, in snapshots, on a stolen disk.
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
          Plain text to insert into the secret, by the 64 hex digits of its placeholder, `{{ digits }}`.

          Inserted on the host, after decryption and before templates use the secret. Make digits with
          `openssl rand -hex 32`.
        '';
      };

      cleanPlaceholder = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether placeholders without a text in `insert` are removed.

          Otherwise they stay in the file as they are.
        '';
      };
    };
  }
)

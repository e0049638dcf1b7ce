# options of the NixOS module, `vaultix.*` of a host; nothing is set here.
{
  config,
  options,
  lib,
  pkgs,
  utils,
  ...
}@args:
let
  inherit (lib)
    literalExpression
    literalMD
    mkOption
    types
    ;
  inherit (import ./types.nix { inherit lib; })
    absolutePath
    recipient
    ;
  inherit (import ./message.nix) failure;
  inherit (import ./private.nix { inherit lib; }) orPrivate;
  inherit (import ./root.nix { inherit lib cfg; }) defaultFile recipientKeyType;
  enroll = import ./enroll.nix { inherit lib cfg; };

  cfg = config.vaultix;
  inherit (config.users) users;

  # Special arguments first: `_module.args` may not be looked at where it is about to be defined.
  flake =
    args.self or args.inputs.self or config._module.args.self or config._module.args.inputs.self
      or null;

  words = (import ./words.nix { inherit lib; }).host;
  placement = kind: {
    imports = [
      (import ./placement.nix { inherit lib cfg words; })
      (import ./ownership.nix { inherit lib users kind; })
    ];
  };

  hostKey = types.submodule {
    options = {
      path = mkOption {
        type = orPrivate types.externalPath;
        example = "/etc/ssh/ssh_host_ed25519_key";
        description = ''
          File on the host, as a string.

          Read by the units, never by Nix: a private key does not belong in the store.
        '';
      };
      type = mkOption {
        type = types.enum [
          "ed25519"
          "rsa"
          "age"
          "credential"
        ];
        description = ''
          What the file contains: an OpenSSH private key of this type, or age identities, X25519 or post-quantum; for
          `credential`, such identities that `vaultix-decrypt enroll --seal` has sealed to this machine.

          Keys whose type does not match {option}`vaultix.settings.hostPubkey` are not tried.
        '';
      };
    };
  };
in
{
  options.vaultix = {
    package = mkOption {
      type = types.package;
      default = (import ./package.nix { inherit pkgs; }).vaultix-boot;
      defaultText = literalMD "`vaultix-boot`, built with the packages of the host";
      description = ''
        The boot side: the generator and the program that the units run.

        No other part of Vaultix is installed on the host.
      '';
    };

    settings =
      import ./common-settings.nix {
        inherit lib cfg words;
        self = flake;
      }
      // {
        hostPubkey = mkOption {
          type = recipient;
          default = "";
          example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA… root@web1";
          description = ''
            Public key of the host, as text or as a file of the flake.

            Empty while the host has no key yet: `vaultix` names such a host and goes on with the others.

            `vaultix renc` encrypts this host's secrets to it. `ssh-keyscan -t ed25519 HOST` prints it after the
            name of the host; on the host it is in {file}`/etc/ssh/ssh_host_ed25519_key.pub`. For a post-quantum one,
            `vaultix-decrypt enroll` on the host makes an identity and prints it.
          '';
        };

        hostKeys = mkOption {
          type = types.listOf hostKey;
          default =
            let
              type = recipientKeyType cfg.settings.hostPubkey;
            in
            if cfg.settings.enroll && type == "age" then
              [
                {
                  inherit (enroll) path;
                  inherit type;
                }
              ]
            else
              map (key: { inherit (key) path type; }) (
                builtins.filter (key: key.type or null == type) (import ./ssh-keys.nix config)
              );
          defaultText = literalMD ''
            those of {option}`services.openssh.hostKeys` that have the type of `hostPubkey`, if something makes them;
            with {option}`vaultix.settings.enroll`, {file}`/var/lib/vaultix/host.age`
          '';
          example = literalExpression ''
            [
              {
                path = "/persist/etc/ssh/ssh_host_ed25519_key";
                type = "ed25519";
              }
            ]
          '';
          description = ''
            Private keys of the host, in the order in which they are tried.

            NixOS makes the keys of sshd only where {option}`services.openssh.enable` is set. Where it is not, name the keys here.

            Set the real path of a key, not one that is linked or bind-mounted to it late in boot.
          '';
        };

        enroll = mkOption {
          type = types.bool;
          default = false;
          description = ''
            Whether the host makes an identity for itself, a post-quantum one that no other program uses.

            As long as {option}`vaultix.settings.hostPubkey` is empty, the host has no secrets, and
            {file}`vaultix-enroll.service` makes the identity at the next boot or switch, where
            {option}`vaultix.settings.hostKeys` has its path. Then it fails with a message that contains the recipient: set
            `hostPubkey` to it, run `vaultix renc`, and switch. If the key in `hostKeys` has the type `credential`, it seals it.
          '';
        };

        hostIdentifier = mkOption {
          type = types.strMatching "[A-Za-z0-9_-][A-Za-z0-9_.-]*";
          default =
            if config.networking.hostName != "" then
              config.networking.hostName
            else
              throw (failure {
                what = "cannot name a host's directory in the cache";
                because = "networking.hostName is empty, and vaultix.settings.hostIdentifier is not set";
                fix = "set one of them to a name that no other host has";
              });
          defaultText = literalExpression "config.networking.hostName";
          description = ''
            Name of the host's directory in the cache; no two hosts may have the same.

            After a change, run `vaultix renc`.
          '';
        };

        decryptedDir = mkOption {
          type = absolutePath;
          default = "/run/vaultix";
          description = ''
            Where programs find secrets and templates.

            A symlink to the current generation below {option}`vaultix.settings.decryptedMountPoint`.
          '';
        };

        decryptedDirForUser = mkOption {
          type = absolutePath;
          default = "/run/vaultix-for-user";
          description = ''
            The same for items in {option}`vaultix.beforeUserborn`.

            Also a symlink.
          '';
        };

        decryptedMountPoint = mkOption {
          type = absolutePath;
          default = "/run/vaultix.d";
          description = ''
            Where the file system in memory with the plaintexts is visible, read-only.

            It is a ramfs, which is never swapped out; it is mounted below `/run/vaultix.private`, where only root has access.

            Changing this takes a reboot: until then the old plaintexts stay where they are.
          '';
        };

        beforeNetwork = mkOption {
          type = types.bool;
          default = true;
          description = ''
            Whether secrets are placed before the network is configured (`network-pre.target`).

            The programs that configure it may need them: a key for WireGuard, a password for wireless LAN. Set it to
            `false` if secrets on this host can only be decrypted once the network is up.
          '';
        };

        lateMounts = mkOption {
          type = types.listOf absolutePath;
          default = (import ./file-systems.nix { inherit lib; }).lateMounts {
            isNeededForBoot = utils.fsNeededForBoot;
            hostKeys = enroll.files;
          } config.fileSystems;
          defaultText = literalMD "those of {option}`fileSystems` with `nofail`, `noauto`, `_netdev` or `x-systemd.automount`, or from the network";
          example = [ "/home" ];
          description = ''
            Mount points that boot does not wait for.

            What has a `path` below one is put there when it is mounted, and holds up nothing until then. A host key below
            one is not waited for; so a local file system with a host key is not among the default.
          '';
        };
      };

    secrets = mkOption {
      type = types.attrsOf (
        import ./secret.nix {
          inherit lib words defaultFile;
          placement = placement "secret";
        }
      );
      default = { };
      example = literalExpression ''
        {
          wifi = { };
          tls = {
            file = ./secrets/tls.age;
            owner = "nginx";
            reloadUnits = [ "nginx.service" ];
          };
        }
      '';
      description = ''
        Secrets of this host, by id.

        Each is decrypted by its own unit, {option}`vaultix.secrets.<name>.unit`, into
        {option}`vaultix.secrets.<name>.path`.
      '';
    };

    templates = mkOption {
      type = types.attrsOf (
        import ./template.nix {
          inherit lib cfg words;
          placement = placement "template";
        }
      );
      default = { };
      example = literalExpression ''
        {
          "app.conf".content = '''
            user = app
            password = ''${config.vaultix.placeholder.db}
          ''';
        }
      '';
      description = ''
        Texts with placeholders for the values of secrets, by id.

        Each is rendered by its own unit, after the secrets it uses.
      '';
    };

    inherit (import ./placeholders.nix { inherit lib cfg words; }) placeholder placeholderAs;

    beforeUserborn = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "alice-password" ];
      description = ''
        Ids of secrets and templates that are needed before users exist, such as hashed passwords.

        They are placed below {option}`vaultix.settings.decryptedDirForUser`; their owner must be `root` or a
        number. The host's key must be on a file system with `neededForBoot`.
      '';
    };

    active = mkOption {
      type = types.bool;
      readOnly = true;
      internal = true;
      # Also without secrets: the last ones have to be removed from a running host.
      default =
        options.vaultix.settings.hostPubkey.highestPrio < (lib.mkOptionDefault null).priority
        || cfg.settings.enroll
        || cfg.secrets != { }
        || cfg.templates != { };
      defaultText = literalMD "whether a key or an item is set";
      description = "Whether this host uses Vaultix.";
    };
  };

  options.vaultix-debug = mkOption {
    type = types.raw;
    readOnly = true;
    default = (import ./profile.nix).host (import ./ciphertext.nix { inherit lib cfg; }).cipher enroll.host;
    defaultText = literalMD "the profile";
    description = ''
      The profile of this host, as written to {file}`/etc/vaultix/profile.json`.

      For emergencies, when the flake or the host is broken:
      `nix eval --json .#nixosConfigurations.HOST.config.vaultix-debug > profile.json` and, on the host,
      `vaultix -p profile.json deploy`.
    '';
  };
}

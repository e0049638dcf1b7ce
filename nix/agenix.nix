# what `nixosModules.agenix` is: the module, with the options of agenix as other names of ours.
#
# Declarations and modules written for agenix stay as they are. What has no meaning here draws a warning.
let
  module =
    {
      config,
      lib,
      ...
    }:
    let
      inherit (lib) literalMD mkOption types;
      inherit (import ./message.nix) failure;
      inherit (import ./root.nix { inherit lib cfg; }) recipientKeyType;

      cfg = config.vaultix;
      inherit (config) age;

      # agenix does not say what a key is; the names that sshd gives its keys do.
      keyType =
        path:
        if lib.hasInfix "ed25519" path then
          "ed25519"
        else if lib.hasInfix "rsa" path then
          "rsa"
        else
          fitting;
      fitting = recipientKeyType cfg.settings.hostPubkey;

      # Also for paths written out in texts, which are common.
      hasLink = cfg.active && age.secretsDir != cfg.settings.decryptedDir;
      helper = "${cfg.package}/bin/vaultix-decrypt";
    in
    {
      imports = [
        (lib.mkAliasOptionModule [ "age" "secrets" ] [ "vaultix" "secrets" ])
        (lib.mkAliasOptionModule
          [ "age" "secretsMountPoint" ]
          [
            "vaultix"
            "settings"
            "decryptedMountPoint"
          ]
        )
      ];

      options.age = {
        identityPaths = mkOption {
          type = types.listOf types.str;
          default = map (key: key.path) (
            builtins.filter (
              key:
              builtins.elem key.type [
                "ed25519"
                "rsa"
              ]
            ) (import ./ssh-keys.nix config)
          );
          defaultText = literalMD "those of {option}`services.openssh.hostKeys`, if something makes them";
          example = [ "/persist/etc/ssh/ssh_host_ed25519_key" ];
          description = ''
            Private keys of the host: those that fit `hostPubkey` are {option}`vaultix.settings.hostKeys`.

            Which type a key has, its name says (`ed25519`, `rsa`); any other is taken for one that fits.
          '';
        };

        secretsDir = mkOption {
          type = types.str;
          default = "/run/agenix";
          description = ''
            A link to {option}`vaultix.settings.decryptedDir`, for texts that have the path written out.

            Paths of secrets are below `decryptedDir`.
          '';
        };

        ageBin = mkOption {
          type = types.nullOr types.str;
          default = null;
          description = ''
            Without effect: decryption is built in.
          '';
        };
      };

      config = {
        vaultix.settings.hostKeys = lib.mkDefault (
          builtins.filter (key: key.type == fitting) (
            map (path: {
              inherit path;
              type = keyType path;
            }) age.identityPaths
          )
        );

        warnings = lib.optional (age.ageBin != null) (failure {
          what = "age.ageBin has no effect";
          because = "Vaultix decrypts by itself, without a program of age";
          fix = "remove it";
        });

        # Before sysinit.target as the secrets are, so that nobody has to wait for it. Gone with this module.
        systemd.services.vaultix-agenix-link = lib.mkIf hasLink {
          description = "Link to the secrets of Vaultix at the path of agenix";
          wantedBy = [ "sysinit.target" ];
          requiredBy = [ "sysinit-reactivation.target" ];
          before = [
            "sysinit.target"
            "sysinit-reactivation.target"
            "shutdown.target"
          ];
          conflicts = [ "shutdown.target" ];
          unitConfig = {
            DefaultDependencies = false;
            RequiresMountsFor = dirOf age.secretsDir;
          };
          serviceConfig = {
            Type = "oneshot";
            RemainAfterExit = true;
            # What agenix left is a link as well. Anything else is not replaced: a warning says so, and the switch goes on.
            ExecStart = "${helper} link -- ${age.secretsDir}";
            ExecStop = "${helper} unlink -- ${age.secretsDir}";
          };
        };
      };
    };
in
{
  _class = "nixos";
  _file = ./agenix.nix;
  imports = [
    ./module.nix
    module
  ];
}

# what `homeModules.default` is: secrets of a user, declared in home-manager.
#
# Below a NixOS host with our module, the host places them: its module takes them from `home-manager.users` (homes.nix). A
# home of no host has a profile and units of its own (home-alone.nix).
let
  module =
    {
      config,
      lib,
      pkgs,
      ...
    }@args:
    let
      inherit (lib)
        literalExpression
        literalMD
        mkOption
        types
        ;
      inherit (import ./message.nix) failure;
      inherit (import ./root.nix { inherit lib; cfg = host; }) defaultFile;

      cfg = config.vaultix;
      user = config.home.username;
      idOf = name: if isAlone then name else "${user}/${name}";

      # As in options.nix.
      self =
        args.self or args.inputs.self or config._module.args.self or config._module.args.inputs.self
          or null;

      # Not in the arguments of an old home-manager on its own, and null in those of a new one.
      osConfig = args.osConfig or config._module.args.osConfig or null;
      hasHost = (osConfig.vaultix or null) != null;
      # Below a host without our module, somebody has to say so.
      isAlone = !hasHost && (osConfig == null || cfg.settings.recipient != "");
      hasItems = cfg.secrets != { } || cfg.templates != { };
      # Also without items: the last ones have to be removed.
      isActive = isAlone && (hasItems || cfg.settings.recipient != "");
      host = osConfig.vaultix or cfg;
      alone = import ./home-alone.nix {
        inherit
          config
          lib
          pkgs
          self
          ;
      };

      words = (import ./words.nix { inherit lib; }).home;
      placement = import ./placement.nix {
        inherit lib words;
        cfg = {
          beforeUserborn = [ ];
          settings.decryptedDir =
            if hasHost then "${host.settings.decryptedDir}/${user}" else cfg.settings.decryptedDir;
        };
      };
    in
    {
      options.vaultix = {
        package = mkOption {
          type = types.package;
          default = (import ./package.nix { inherit pkgs; }).vaultix-boot;
          defaultText = literalMD "`vaultix-boot`, built with the packages of the home";
          description = ''
            The program that the units run, and what makes the units.

            Used only in a home of no host, as is all of {option}`vaultix.settings`.
          '';
        };

        settings = import ./home-settings.nix { inherit config lib self; };

        asHost = mkOption {
          type = types.raw;
          readOnly = true;
          internal = true;
          default = if isActive then alone.asHost else null;
          description = "What the desk has to know of a home of no host.";
        };

        secrets = mkOption {
          type = types.attrsOf (
            import ./secret.nix {
              inherit
                lib
                words
                placement
                idOf
                ;
              # The same in both cases, so that a home may be used in both.
              defaultFile = id: defaultFile (if isAlone then "${user}/${id}" else id);
            }
          );
          default = { };
          example = literalExpression ''
            {
              mail.restartUnits = [ "mail.service" ];
              token = {
                file = ./secrets/token.age;
                path = "''${config.xdg.configHome}/app/token";
              };
            }
          '';
          description = ''
            Secrets of this user, by name.

            Each is decrypted into {option}`vaultix.secrets.<name>.path`, which only this user can read, unless `mode` says
            otherwise. A NixOS host does so with its own key, before anybody logs in; there, `mail` of alice is the secret
            `alice/mail`. Otherwise, the user's own manager does, with the user's own identity.
          '';
        };

        templates = mkOption {
          type = types.attrsOf (import ./template.nix { inherit lib cfg words placement; });
          default = { };
          example = literalExpression ''
            {
              netrc.content = "machine example.org login alice password ''${config.vaultix.placeholder.mail}";
            }
          '';
          description = ''
            Texts with placeholders for the values of secrets, by name.

            Each is rendered after the secrets it uses.
          '';
        };

        inherit (import ./placeholders.nix { inherit lib cfg words; }) placeholder placeholderAs;
      };

      config = {
        vaultix.placeholder = builtins.mapAttrs (
          _: secret:
          lib.mkDefault (
            osConfig.vaultix.placeholder.${secret.id} or (import ./placeholder.nix secret.id)
          )
        ) cfg.secrets;

        assertions =
          lib.optionals isActive alone.assertions
          ++ lib.optional (!hasHost && !isAlone && hasItems) {
            assertion = false;
            message = failure {
              what = "cannot place the secrets and templates in the home of ${user}";
              because = "the host does not import the NixOS module of Vaultix, and vaultix.settings.recipient is not set";
              fix = "import vaultix.nixosModules.default in the configuration of the host, which has to be a NixOS; or, for an identity of the user, set vaultix.settings.recipient";
            };
          };

        xdg.configFile = lib.mkIf isActive alone.files;
        home.activation = lib.mkIf isActive alone.activation;
        # For `vaultix-decrypt enroll --user` and `check --user`, and the manual pages.
        home.packages = lib.mkIf isActive [ cfg.package ];
      };
    };
in
{
  _class = "homeManager";
  _file = ./home-module.nix;
  # Two modules may import it.
  key = toString ./home-module.nix;
  imports = [ module ];
}

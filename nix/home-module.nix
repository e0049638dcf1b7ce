# what `homeModules.default` is: secrets of a user, declared in home-manager and placed by the host.
#
# The host's module takes them from `home-manager.users` (homes.nix). So all that is here are options, and what refuses a
# home that no host looks at.
let
  module =
    {
      config,
      lib,
      ...
    }@args:
    let
      inherit (lib) literalExpression mkOption types;
      inherit (import ./message.nix) failure;
      inherit (import ./root.nix { inherit lib; cfg = host; }) defaultFile;

      cfg = config.vaultix;
      user = config.home.username;
      idOf = name: "${user}/${name}";

      # Not in the arguments of an old home-manager on its own, and null in those of a new one.
      osConfig = args.osConfig or config._module.args.osConfig or null;
      hasHost = (osConfig.vaultix or null) != null;
      # What stands for it lets an assertion be the first that is heard of it.
      host =
        osConfig.vaultix or {
          settings = {
            flake = null;
            defaultSecretDirectory = "./secrets";
            decryptedDir = "/run/vaultix";
          };
        };

      words = (import ./words.nix { inherit lib; }).home;
      placement = import ./placement.nix {
        inherit lib words;
        cfg = {
          beforeUserborn = [ ];
          settings.decryptedDir = "${host.settings.decryptedDir}/${user}";
        };
      };
    in
    {
      options.vaultix = {
        secrets = mkOption {
          type = types.attrsOf (
            import ./secret.nix {
              inherit
                lib
                words
                placement
                defaultFile
                idOf
                ;
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

            The host decrypts each with its own key, before anybody logs in, into
            {option}`vaultix.secrets.<name>.path`, which only this user can read, unless `mode` says otherwise. There, `mail` of alice is the secret
            `alice/mail`.
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

            The host renders each after the secrets it uses.
          '';
        };

        inherit (import ./placeholders.nix { inherit lib cfg words; }) placeholder placeholderAs;
      };

      config = {
        vaultix.placeholder = builtins.mapAttrs (
          _: secret:
          lib.mkDefault (
            host.placeholder.${secret.id} or (import ./placeholder.nix secret.id)
          )
        ) cfg.secrets;

        assertions = lib.optional (!hasHost && (cfg.secrets != { } || cfg.templates != { })) {
          assertion = false;
          message = failure {
            what = "cannot place the secrets and templates in the home of ${user}";
            because =
              if osConfig == null then
                "the home belongs to no NixOS host, and home-manager on its own is not supported yet"
              else
                "the host does not import the NixOS module of Vaultix";
            fix =
              if osConfig == null then
                "in the configuration of a host, import home-manager.nixosModules.home-manager and vaultix.nixosModules.default, and set home-manager.users.${user}"
              else
                "import vaultix.nixosModules.default in the configuration of the host, which has to be a NixOS";
          };
        };
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

# homes, without home-manager: `system` is a module for nixos.nix, `alone` evaluates a home of no host.
#
# As in nixos/common.nix and modules/misc/submodule-support.nix of nix-community/home-manager. An option that is missing here
# is an error, so this file also says what our module touches.
{ lib }:
let
  inherit (lib) mkOption types;

  package = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
  };
  pkgs = {
    writeText = name: text: package name // { inherit text; };
    runCommand =
      name: _: script:
      package name // { inherit script; };
    callPackage = path: _: package (lib.removeSuffix ".nix" (baseNameOf path));
  };

  base = { config, ... }: {
    options = {
      assertions = mkOption {
        type = types.listOf types.unspecified;
        default = [ ];
      };
      home.username = mkOption { type = types.str; };
      home.homeDirectory = mkOption { type = types.path; };
      home.packages = mkOption {
        type = types.listOf types.package;
        default = [ ];
      };
      # A DAG: each entry has `after`, `before` and `data`, see modules/lib/dag.nix.
      home.activation = mkOption {
        type = types.attrsOf types.anything;
        default = { };
      };
      systemd.user.systemctlPath = mkOption {
        type = types.str;
        default = "/usr/bin/systemctl";
      };
      xdg.configHome = mkOption {
        type = types.str;
        default = "${config.home.homeDirectory}/.config";
      };
      xdg.stateHome = mkOption {
        type = types.str;
        default = "${config.home.homeDirectory}/.local/state";
      };
      xdg.configFile = mkOption {
        type = types.attrsOf types.anything;
        default = { };
      };
    };
    config._module.args.pkgs = pkgs;
    config._module.args = {
      osConfig = lib.mkDefault null;
      nixosConfig = lib.mkDefault null;
    };
  };
in
{
  system =
    { config, _class, ... }:
    {
      options.home-manager = {
        sharedModules = mkOption {
          type = types.listOf types.raw;
          default = [ ];
        };
        users = mkOption {
          default = { };
          type = types.attrsOf (
            types.submoduleWith {
              description = "Home Manager module";
              class = "homeManager";
              specialArgs = {
                inherit lib;
                osConfig = config;
                osClass = _class;
                modulesPath = "/modules";
              };
              modules = [
                (
                  { name, ... }:
                  {
                    imports = [ base ] ++ config.home-manager.sharedModules;
                    config.home = {
                      username = config.users.users.${name}.name;
                      homeDirectory = "/home/${name}";
                    };
                  }
                )
              ];
            }
          );
        };
      };

      config = lib.mkIf (config.home-manager.users != { }) {
        assertions = lib.flatten (
          lib.mapAttrsToList (
            user: home:
            map (assertion: {
              inherit (assertion) assertion;
              message = "${user} profile: ${assertion.message}";
            }) home.assertions
          ) config.home-manager.users
        );
        # useUserPackages: users depend on their homes, which depend on them.
        users.users = builtins.mapAttrs (_: home: { group = lib.mkDefault "users"; }) config.home-manager.users;
      };
    };

  alone =
    modules:
    lib.evalModules {
      class = "homeManager";
      specialArgs.modulesPath = "/modules";
      modules = [
        base
        {
          home.username = "alice";
          home.homeDirectory = "/home/alice";
        }
      ]
      ++ modules;
    };
}

# homes, without home-manager: `system` is a module for nixos.nix, `alone` evaluates a home of no host.
#
# As in nixos/common.nix and modules/misc/submodule-support.nix of nix-community/home-manager. An option that is missing here
# is an error, so this file also says what our module touches.
{ lib, system ? "x86_64-linux" }:
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
    stdenv.hostPlatform = lib.systems.elaborate system;
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
      # A DAG, see modules/lib/types-dag.nix; a text would become such an entry.
      home.activation = mkOption {
        type = types.attrsOf (
          types.submodule {
            options = {
              data = mkOption { type = types.str; };
              after = mkOption { type = types.listOf types.str; };
              before = mkOption { type = types.listOf types.str; };
            };
          }
        );
        default = { };
      };
      # modules/misc/uninstall.nix; all files are gone then.
      uninstall = mkOption {
        type = types.bool;
        default = false;
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
      # See modules/lib/file-type.nix.
      xdg.configFile = mkOption {
        type = types.attrsOf (
          types.submodule {
            options = {
              text = mkOption {
                type = types.nullOr types.lines;
                default = null;
              };
              source = mkOption { type = types.path; };
              recursive = mkOption {
                type = types.bool;
                default = false;
              };
            };
          }
        );
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
                      homeDirectory = config.users.users.${name}.home;
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

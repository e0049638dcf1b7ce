# our module among all modules of a real home-manager → lines, as `summary` of module.nix.
#
# What it needs of nixpkgs is a library, and a name for each package: none is built.
{
  # A folder with nixpkgs' lib, and what is below nixpkgs/ here.
  nixpkgs,
  homeManager,
}:
let
  lib = import (nixpkgs + "/lib");
  inherit (import (homeManager + "/modules/lib/stdlib-extended.nix") lib) hm;
  key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAbblUFSEdI2l6fg2sUWzwZh2vxBPZ7Rgij0Zx2Mimh";

  # Each is its name, and never built; what is written to it is kept beside it.
  package =
    name: more:
    derivation {
      name = lib.strings.sanitizeDerivationName name;
      system = "x86_64-linux";
      builder = "/bin/sh";
    }
    // {
      inherit name;
      pname = name;
      version = "99";
      meta.mainProgram = name;
      override = _: package name more;
    }
    // more;
  # All that any module may ask for.
  names = lib.unique (
    lib.concatMap (
      file:
      map (found: lib.findFirst (name: name != null) "" found) (
        builtins.filter builtins.isList (
          builtins.split "pkgs[.]([A-Za-z][A-Za-z0-9_-]*)|mkPackageOption pkgs \"([A-Za-z0-9_-]*)\"" (builtins.readFile file)
        )
      )
    ) (builtins.filter (file: lib.hasSuffix ".nix" file) (lib.filesystem.listFilesRecursive (homeManager + "/modules")))
  );
  packages = lib.genAttrs names (name: package name { });
  written = name: text: package name { inherit text; };
  built =
    name: _: script:
    package name { inherit script; };
  pkgs =
    packages
    // lib.genAttrs [ "writeText" "writeScript" "writeShellScript" "writeScriptBin" "writeShellScriptBin" ] (
      _: written
    )
    // {
      inherit lib;
      path = nixpkgs;
      stdenv.hostPlatform = lib.systems.elaborate "x86_64-linux";
      writeTextFile = { name, text, ... }: written name text;
      runCommand = built;
      runCommandLocal = built;
      symlinkJoin = { name, ... }: package name { };
      buildEnv = { name, ... }: package name { };
      replaceVars = file: _: package (baseNameOf file) { };
      callPackage = file: _: package (lib.removeSuffix ".nix" (baseNameOf file)) { };
      formats = builtins.mapAttrs (_: _: _: {
        type = lib.types.anything;
        lib.types.atom = lib.types.anything;
        generate = name: _: package name { };
      }) (lib.genAttrs (names ++ [ "ini" "json" "yaml" "toml" "keyValue" ]) (_: null));
    };

  home =
    modules:
    (import (homeManager + "/modules") {
      inherit lib pkgs;
      configuration.imports = [
        ../../nix/home-module.nix
        {
          _module.args.pkgs = lib.mkForce pkgs;
          home.username = "alice";
          home.homeDirectory = "/home/alice";
          home.stateVersion = "25.11";
          manual.manpages.enable = lib.mkDefault false;
        }
      ]
      ++ modules;
    }).config;

  declared =
    { config, ... }:
    {
      vaultix.settings = {
        flake = ./flake;
        identifier = "machine";
        recipient = key;
      };
      vaultix.secrets.mail = {
        file = ./flake/secrets/hello.age;
        path = "${config.xdg.configHome}/mail/token";
        restartUnits = [ "mail.service" ];
      };
      vaultix.templates.netrc.content = config.vaultix.placeholder.mail;
      # What others have beside ours.
      systemd.user.services.mail = {
        Service.ExecStart = "/bin/true";
        Install.WantedBy = [ "default.target" ];
      };
    };

  order =
    config:
    let
      sorted = hm.dag.topoSort config.home.activation;
    in
    map (step: step.name) (sorted.result or (throw "the steps are a circle"));
  at = name: list: lib.lists.findFirstIndex (other: other == name) (throw "no ${name}") list;
  comes = config: steps: let found = map (step: at step (order config)) steps; in found == builtins.sort builtins.lessThan found;

  ofAlice = home [ declared ];
  others = home [ ];
  uninstalled = home [
    declared
    { uninstall = true; }
  ];
  of = config: name: config.home.file."/home/alice/.config/${name}";
  has = text: content: lib.hasInfix text (builtins.unsafeDiscardStringContext content);
  isIn = text: config: has text config.home.activation.vaultixSwitch.data;

  # All assertions hold, or this would be no value.
  holds = {
    "checks come first, secrets before services, in home-manager's own order" = comes ofAlice [
      "vaultixCheck"
      "writeBoundary"
      "linkGeneration"
      "vaultixSwitch"
      "reloadSystemd"
    ];
    "without services of home-manager, the order is the same" =
      comes
        (home [
          declared
          { systemd.user.enable = false; }
        ])
        [
          "vaultixCheck"
          "writeBoundary"
          "linkGeneration"
          "vaultixSwitch"
        ];
    "units are linked one by one, beside those of others" =
      (of ofAlice "systemd/user").recursive
      && (of ofAlice "systemd/user").target == ".config/systemd/user"
      && (of ofAlice "systemd/user/mail.service").target == ".config/systemd/user/mail.service"
      && has "${(of ofAlice "systemd/user").source.name} .config/systemd/user inherit 1 " ofAlice.home-files.script;
    "the profile is where units look for it" = (of ofAlice "vaultix/profile.json").target == ".config/vaultix/profile.json";
    "the program is in the home, and the activation can be made" =
      builtins.elem "vaultix-boot" (map (package: package.name) ofAlice.home.packages)
      && ofAlice.home.activationPackage.name == "home-manager-generation";
    "a home that declares nothing has nothing of ours" =
      !(others.home.activation ? vaultixSwitch) && !(others.home.file ? "/home/alice/.config/systemd/user");
    "what home-manager uninstalls is removed, without a unit and without a secret" =
      comes uninstalled [
        "linkGeneration"
        "vaultixSwitch"
      ]
      && isIn "switch --user --profile" uninstalled
      && !isIn "vaultix-switch.service" uninstalled
      && isIn "vaultix-switch.service" ofAlice
      && uninstalled.home.file == { };
  };
in
{
  # A program that is nowhere, so that it fails.
  check = ofAlice.home.activation.vaultixCheck.data;

  summary = lib.concatStringsSep "\n" (
    lib.mapAttrsToList (statement: ok: "${if ok then "holds" else "broken"}: ${statement}") holds
  );
}

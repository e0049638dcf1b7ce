# modules → their evaluation, without NixOS: the options that the module reads or sets, and no more.
#
# An option that is missing here is an error, so this file also says what the module touches.
{ lib, modules }:
let
  inherit (lib) mkOption types;

  option = type: default: mkOption { inherit type default; };
  any = option types.anything;
  attrs = option (types.attrsOf types.anything);

  user =
    { name, ... }:
    {
      options = {
        name = option types.str name;
        home = option types.path "/home/${name}";
        enable = option types.bool true;
        group = option types.str "";
        hashedPasswordFile = option (types.nullOr types.str) null;
      };
    };

  group =
    { name, ... }:
    {
      options.name = option types.str name;
    };

  fileSystem =
    { name, ... }:
    {
      options = {
        mountPoint = option types.str name;
        # NixOS 26.05 has no default for it.
        fsType = mkOption { type = types.str; };
        device = option (types.nullOr types.str) null;
        options = option (types.listOf types.str) [ ];
        neededForBoot = option types.bool false;
      };
    };

  # A package is a name here; what is written to a file is kept beside it.
  package = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
    __toString = self: self.outPath;
  };
  platform = lib.systems.elaborate "x86_64-linux";
  pkgs = {
    inherit lib;
    writeText = name: text: package name // { inherit text; };
    runCommand =
      name: _: script:
      package name // { inherit script; };
    coreutils = package "coreutils";
    stdenv.buildPlatform = platform;
    stdenv.hostPlatform = platform;
  };
in
lib.evalModules {
  class = "nixos";
  specialArgs.utils.fsNeededForBoot =
    fileSystem:
    fileSystem.neededForBoot
    || builtins.elem fileSystem.mountPoint [
      "/"
      "/nix"
      "/nix/store"
      "/var"
      "/var/log"
      "/var/lib"
      "/var/lib/nixos"
      "/etc"
      "/usr"
    ];
  modules = [
    {
      options = {
        assertions = option (types.listOf types.raw) [ ];
        warnings = option (types.listOf types.str) [ ];
        networking.hostName = option types.str "machine";
        environment.etc = attrs { };
        environment.systemPackages = any [ ];
        boot.initrd.secrets = attrs { };
        boot.initrd.network.ssh.hostKeys = any [ ];
        boot.initrd.luks.devices = attrs { };
        system.activationScripts = attrs { };
        systemd.services = attrs { };
        systemd.sockets = attrs { };
        systemd.user.services = attrs { };
        systemd.tmpfiles.rules = option (types.listOf types.str) [ ];
        systemd.tmpfiles.settings = attrs { };
        fileSystems = option (types.attrsOf (types.submodule fileSystem)) { };
        users.users = option (types.attrsOf (types.submodule user)) { };
        users.groups = option (types.attrsOf (types.submodule group)) { };
        services.userborn.enable = option types.bool false;
        services.openssh.enable = option types.bool true;
        services.openssh.hostKeys = any [
          {
            type = "rsa";
            bits = 4096;
            path = "/etc/ssh/ssh_host_rsa_key";
          }
          {
            type = "ed25519";
            path = "/etc/ssh/ssh_host_ed25519_key";
          }
        ];
        systemd.sysusers.enable = option types.bool false;
        systemd.generators = attrs { };
        systemd.units = attrs { };
        system.checks = any [ ];
        system.preSwitchChecks = attrs { };
      };
      config = {
        _module.args = { inherit pkgs; };
        users.users.root.group = "root";
        users.groups = {
          root = { };
          users = { };
        };
        vaultix.package = package "vaultix-boot";
      };
    }
    ../../nix/module.nix
  ]
  ++ modules;
}

# options → what makes a host place its secrets: a profile, a generator and two units.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}@args:
let
  cfg = config.vaultix;

  # As in options.nix, to name repositories in messages.
  self =
    args.self or args.inputs.self or config._module.args.self or config._module.args.inputs.self
      or null;
  inputs = args.inputs or config._module.args.inputs or self.inputs or { };

  enroll = import ./enroll.nix { inherit lib cfg; };

  helper = "${cfg.package}/bin/vaultix-decrypt";
  generator = "${cfg.package}/lib/systemd/system-generators/vaultix-generator";

  profile = pkgs.writeText "vaultix-profile.json" (builtins.toJSON config.vaultix-debug);

  # The host's own generator reads it first: a profile that it refuses cannot be built, nor one
  # whose units do not have the names in `config.vaultix.secrets.<name>.unit`. Skipped if this machine
  # cannot run the host's programs.
  units = map (item: item.unit) (
    lib.attrValues (import ./placed.nix enroll.host.secrets) ++ lib.attrValues enroll.host.templates
  );
  check = pkgs.runCommand "vaultix-profile-check" { } ''
    mkdir normal early late
    ${generator} --profile ${profile} normal early late
    for unit in ${lib.escapeShellArgs units}; do
      test -e "normal/$unit" || { echo "vaultix: no unit $unit was made" >&2; exit 1; }
    done
    touch $out
  '';

  # The same text that other systems install; units/*.in explains it.
  unit = name: install: {
    ${name} = {
      text = builtins.replaceStrings [ "@BINDIR@" ] [ "${cfg.package}/bin" ] (
        builtins.readFile (../units + "/${name}.in")
      );
    }
    // install;
  };
  # Nothing pulls these in at boot, and nothing restarts them: they run at every switch, when
  # switch-to-configuration restarts sysinit-reactivation.target, and determine what has changed.
  atSwitch.requiredBy = [ "sysinit-reactivation.target" ];
in
{
  # Whether the host is active depends on these.
  imports = [
    {
      _file = ./homes.nix;
      vaultix = { inherit (import ./homes.nix { inherit config lib; }) secrets templates; };
    }
  ];

  config = lib.mkIf cfg.active {
    vaultix.placeholder = builtins.mapAttrs (
      id: _: lib.mkDefault (import ./placeholder.nix id)
    ) cfg.secrets;

    inherit
      (import ./assertions.nix {
        inherit
          config
          lib
          utils
          self
          inputs
          ;
      })
      assertions
      warnings
      ;

    environment.etc."vaultix/profile.json".source = profile;
    # For the days when something is wrong: `vaultix-decrypt check`, and the manual pages.
    environment.systemPackages = [ cfg.package ];

    systemd = {
      generators.vaultix-generator = generator;
      units =
        unit "vaultix-switch-early.service" atSwitch
        // unit "vaultix-switch.service" atSwitch
        // lib.optionalAttrs enroll.isWaiting (
          unit "vaultix-enroll.service" { wantedBy = [ "multi-user.target" ]; }
        );
    };

    system = {
      checks = lib.optional (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) check;

      # Before anything is changed. `boot` also runs during installation, when the host's key may
      # not exist yet.
      preSwitchChecks.vaultix = ''
        if [ "''${2-}" = dry-activate ]; then
          echo "Vaultix, if this were a switch:"
          # What fails in it is an error below as well.
          ${helper} switch --dry-run --profile ${profile} || true
        fi
        if ! ${helper} check --profile ${profile}; then
          [ "''${2-}" = boot ] || exit 1
          echo "vaultix: continuing, since nothing is placed before the next boot" >&2
        fi
      '';
    };
  };
}

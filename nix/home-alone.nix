# a home of no host → what makes the user's own manager place its secrets: a profile, units, and a step of the activation.
#
# To everything else, such a home is a host: `asHost` has the options of one.
{
  config,
  lib,
  pkgs,
  self,
}:
let
  inherit (builtins) filter mapAttrs;
  inherit (lib) concatMap mapAttrsToList;
  inherit (lib.strings) escapeNixIdentifier escapeShellArg;
  inherit (import ./message.nix) failure list quote;
  inherit (import ./private.nix { inherit lib; }) isNoText isPrivate isTooLong message public typeMessage;
  inherit (import ./types.nix { inherit lib; }) isRecipient;

  cfg = config.vaultix;
  user = config.home.username;
  key = cfg.settings.recipient;

  # What only a host decides, or what follows from the user here.
  placement = kind: name: {
    owner = "root";
    group = "root";
    before = [ ];
    restartUserUnits = { };
    reloadUserUnits = { };
    declaredAs = "vaultix.${kind}.${escapeNixIdentifier name}";
  };

  asHost = {
    settings = {
      inherit (cfg.settings)
        flake
        cache
        defaultSecretDirectory
        keepGenerations
        decryptedDir
        ;
      hostIdentifier = if cfg.settings.identifier == "" then throw unnamed else cfg.settings.identifier;
      hostPubkey = key;
      hostKeys = map (path: {
        inherit path;
        type = recipientKeyType key;
      }) cfg.settings.identities;
      # The program puts in the directories of the user who runs it.
      decryptedDirForUser = "/run/vaultix-for-user";
      decryptedMountPoint = "/run/vaultix.d";
      beforeNetwork = true;
      lateMounts = [ ];
      systemctl = config.systemd.user.systemctlPath;
    };
    secrets = mapAttrs (name: item: item // placement "secrets" name) cfg.secrets;
    templates = mapAttrs (name: item: item // placement "templates" name) cfg.templates;
    inherit (cfg) placeholder;
    beforeUserborn = [ ];
  };

  inherit
    (import ./root.nix {
      inherit lib self;
      cfg = asHost;
    })
    below
    cacheDirectory
    recipientKeyType
    shown
    ;
  inherit (import ./ciphertext.nix { inherit lib; cfg = asHost; }) cipher withoutSource withoutEntry;

  helper = "${cfg.package}/bin/vaultix-decrypt";
  generator = "${cfg.package}/lib/systemd/system-generators/vaultix-generator";
  # home-manager removes all of its files then, and our units with them.
  isUninstalled = config.uninstall or false;
  declared = if isUninstalled then asHost // { secrets = { }; templates = { }; placeholder = { }; } else asHost;
  profile = pkgs.writeText "vaultix-profile.json" (
    builtins.toJSON ((import ./profile.nix).host cipher declared)
  );
  # A profile that the generator refuses cannot be built.
  units = pkgs.runCommand "vaultix-user-units" { } ''
    mkdir "$out"
    ${generator} --user --profile ${profile} "$out"
  '';

  # As home-manager itself talks to the manager: below NixOS, the variable is not set.
  environment = "env XDG_RUNTIME_DIR=\"\${XDG_RUNTIME_DIR:-/run/user/$(id -u)}\"";
  systemctl = "${environment} ${escapeShellArg config.systemd.user.systemctlPath} --user";

  ensure = assertion: what: because: fix: {
    inherit assertion;
    message = failure { inherit what because fix; };
  };
  home = "the home of ${user}";
  isKeyPublic = !isTooLong key && !isPrivate key && isRecipient key;
  isGenerated = name: cfg.secrets.${name}.generator != null;
  place = name: shown cfg.secrets.${name}.file;
  enroll = "vaultix-decrypt enroll --user";

  unnamed = failure {
    what = "cannot name the directory of ${home} in the cache";
    because = "vaultix.settings.identifier is not set";
    fix = "set it to a name that no other home and no host has: vaultix.settings.identifier = \"${user}@HOST\"";
  };
  hasName = cfg.settings.identifier != "";

  settings = [
    (ensure pkgs.stdenv.hostPlatform.isLinux "cannot place the secrets of ${home}"
      "only systemd's user manager does, and ${pkgs.stdenv.hostPlatform.system} has none"
      "declare them only in homes on Linux: lib.mkIf pkgs.stdenv.hostPlatform.isLinux { … }"
    )
    {
      assertion = cfg.settings.identifier != "";
      message = unnamed;
    }
    (ensure (key != "") "cannot decrypt the secrets of ${home}"
      "vaultix.settings.recipient is not set"
      "set it to what this prints on the machine, as the user: ${enroll}"
    )
    {
      assertion = !isPrivate key;
      message = message "vaultix.settings.recipient of ${home}" public;
    }
    {
      assertion = !isNoText key;
      message =
        typeMessage "vaultix.settings.recipient of ${home}" key
          "set it to the public key as a text";
    }
    (ensure (key == "" || isKeyPublic || isPrivate key || isNoText key)
      "cannot use vaultix.settings.recipient of ${home}"
      "its ${toString (builtins.stringLength key)} bytes, which are not shown, are neither an ssh public key (ed25519 or rsa) nor an age recipient (age1…)"
      "set it to what this prints on the machine, as the user: ${enroll}"
    )
    {
      assertion = !lib.any (path: isPrivate (toString path)) cfg.settings.identities;
      message =
        message "vaultix.settings.identities of ${home}"
          "name the file on the machine that contains the key, and make a new key";
    }
    (ensure (cfg.secrets == { } || cfg.settings.flake != null) "cannot find the secrets of ${home}"
      "vaultix.settings.flake is not set, and neither extraSpecialArgs nor _module.args has `self` or `inputs.self`"
      "set vaultix.settings.flake = self, or pass extraSpecialArgs = { inherit self; } to homeManagerConfiguration"
    )
    (ensure (!hasName || withoutSource == [ ]) "cannot use ${list withoutSource} of vaultix.secrets in ${home}"
      "Nix cannot see ${list (map place withoutSource)}; in a flake, it sees only what git tracks"
      "git add them; create those that do not exist yet with: ${
        lib.concatStringsSep " and " (
          lib.optional (lib.any isGenerated withoutSource) "vaultix generate"
          ++ map (name: "vaultix edit ${place name}") (
            lib.take 1 (filter (name: !isGenerated name) withoutSource)
          )
        )
      }"
    )
    (ensure (!hasName || !isKeyPublic || withoutEntry == [ ])
      "cannot use ${list withoutEntry} of vaultix.secrets in ${home}"
      "${shown (below cacheDirectory)} has no ciphertexts for them that match their files and vaultix.settings.recipient"
      "vaultix renc && git add ${shown (below (builtins.dirOf cacheDirectory))}"
    )
  ];

  labelled = kind: mapAttrsToList (_: item: { option = item.declaredAs; inherit item; }) asHost.${kind};
  placed = filter ({ item, ... }: !item.intermediary) (labelled "secrets");
  isElsewhere =
    { item, ... }:
    !lib.any (place: lib.hasPrefix "${place}/" item.path) [
      config.home.homeDirectory
      cfg.settings.decryptedDir
    ];
  paths = map (
    { option, item }:
    ensure false "cannot use ${option}.path"
      "${quote item.path} is not below ${config.home.homeDirectory}, where the user could put it"
      "set it to a path below \"\${config.home.homeDirectory}\""
  ) (filter isElsewhere (placed ++ labelled "templates"));
in
{
  inherit asHost;

  assertions =
    settings
    ++ paths
    ++ import ./items.nix { inherit lib ensure shown; cfg = asHost; }
    ++ import ./template-assertions.nix {
      inherit lib ensure shown cfg;
      who = home;
      templates = labelled "templates";
    };

  files = {
    "vaultix/profile.json".source = profile;
    "systemd/user" = {
      source = units;
      recursive = true;
    };
  };

  activation = {
    # Before anything is changed.
    vaultixCheck = {
      after = [ ];
      before = [ "writeBoundary" ];
      data = ''
        # NixOS activates homes at each boot, where the identity may not be there yet.
        if [[ ! -v oldGenPath || $oldGenPath != "$newGenPath" ]] && ! ${helper} check --user --profile ${profile}; then
          echo "vaultix: nothing has been changed" >&2
          exit 1
        fi
      '';
    };
    # Before sd-switch starts or restarts what reads them. Units that it would restart say that they are left alone.
    vaultixSwitch = {
      after = [ "linkGeneration" ];
      before = [ "reloadSystemd" ];
      data = ''
        if [[ -v DRY_RUN ]]; then
          echo "Vaultix, if this were a switch:"
          ${environment} ${helper} switch --user --dry-run --profile ${profile} || true
        ${lib.optionalString isUninstalled ''
          else
            # Not as a unit, which is gone by now.
            ${environment} ${helper} switch --user --profile ${profile} ||
              echo "vaultix: not all secrets were removed, see above" >&2
          fi
        ''}${lib.optionalString (!isUninstalled) ''
          else
            case "$(${systemctl} is-system-running 2>/dev/null || true)" in
              running | degraded)
                ${systemctl} daemon-reload
                ${systemctl} start vaultix-switch.service ||
                  echo "vaultix: not all secrets were switched; see: systemctl --user status vaultix-switch.service" >&2
                ;;
              *) echo "vaultix: your manager does not run, so that secrets are placed when you log in" ;;
            esac
          fi
        ''}
      '';
    };
  };
}

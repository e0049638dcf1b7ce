# a host's configuration → who reads an item before it is placed, as assertions and warnings.
#
# Only what the configuration shows: one of our paths in the text of something that runs before the units of Vaultix. What a
# program reads by itself is not seen here.
{
  config,
  lib,
  ensure,
}:
let
  inherit (builtins)
    attrNames
    attrValues
    elem
    filter
    isString
    ;
  inherit (lib) concatMap mapAttrsToList;
  inherit (import ./message.nix) failure list quote;

  cfg = config.vaultix;

  # An option that this NixOS does not have is one that nobody has set.
  valueOf = path: default: lib.attrByPath path default config;

  items = attrValues (import ./placed.nix cfg.secrets) ++ attrValues cfg.templates;
  directories = [
    cfg.settings.decryptedDir
    cfg.settings.decryptedDirForUser
    cfg.settings.decryptedMountPoint
  ];
  places = lib.unique (directories ++ map (item: item.path) items);

  # Whether `text` names `place` or something below it, and not a longer path that begins or ends like it.
  names =
    text: place:
    let
      pieces = lib.splitString place text;
      ends = map (piece: builtins.match "[]A-Za-z0-9_.)}-]" (lastCharacter piece) == null) (lib.init pieces);
      begins = map (piece: builtins.match "[A-Za-z0-9_.-]" (lib.substring 0 1 piece) == null) (lib.tail pieces);
    in
    has place text && lib.any (isWhole: isWhole) (lib.zipListsWith (a: b: a && b) ends begins);
  lastCharacter = text: lib.substring (lib.max 0 (builtins.stringLength text - 1)) 1 text;
  # `lib.hasInfix` is a regular expression, which overflows nix's stack on a text of some 500 KB.
  has = part: text: builtins.replaceStrings [ part ] [ "" ] text != text;
  isOurs = text: lib.any (names text) places;
  # No context: what is looked at does not become part of the message's derivation.
  asText = value: builtins.unsafeDiscardStringContext (toString value);

  warn =
    what: because: fix:
    failure { inherit what because fix; };
  option = path: lib.concatMapStringsSep "." lib.strings.escapeNixIdentifier path;

  initrd =
    let
      secretsPath = [
        "boot"
        "initrd"
        "secrets"
      ];
      hostKeysPath = [
        "boot"
        "initrd"
        "network"
        "ssh"
        "hostKeys"
      ];
      secrets = mapAttrsToList (target: source: {
        option = "${option secretsPath}.${lib.strings.escapeNixIdentifier target}";
        texts = [ target ] ++ lib.optional (source != null) (asText source);
      }) (valueOf secretsPath { });
      hostKeys = map (key: {
        option = option hostKeysPath;
        texts = [ (asText key) ];
      }) (valueOf hostKeysPath [ ]);
      # Those of ssh are among `secrets` as well: named once, by what the user has set.
      fromKeys = concatMap (key: key.texts) hostKeys;
      isRepeated = entry: lib.any (text: elem text fromKeys) entry.texts;
      devicesPath = [
        "boot"
        "initrd"
        "luks"
        "devices"
      ];
      keyFiles = lib.filterAttrs (_: text: isOurs text) (
        builtins.mapAttrs (_: device: asText (device.keyFile or "")) (valueOf devicesPath { })
      );
    in
    mapAttrsToList (
      name: text:
      ensure false
        "cannot use ${quote text} in ${option (devicesPath ++ [ name ])}.keyFile"
        "the initrd opens the device before there is any secret"
        "use a key file that the initrd can read: one on a device that it mounts, or of boot.initrd.secrets, which is kept in clear where it boots from"
    ) keyFiles
    ++
    map
      (
        entry:
        ensure false "cannot use ${list (filter isOurs entry.texts)} in ${entry.option}"
          "what the initrd reads is kept in clear where it boots from, and at a path of Vaultix it stands in the way of all secrets once the system starts"
          "use a file of its own, such as /etc/secrets/initrd/ssh_host_ed25519_key: ssh-keygen -t ed25519 -N '' -f FILE makes one on the host"
      )
      (
        filter (entry: lib.any isOurs entry.texts) (
          hostKeys ++ filter (entry: !isRepeated entry) secrets
        )
      );

  scripts =
    let
      path = [
        "system"
        "activationScripts"
      ];
      # A script is a string, or has `text` and `deps`. Of all of them NixOS makes another, `script`.
      all = removeAttrs (valueOf path { }) [ "script" ];
      textOf = script: asText (if isString script then script else script.text or "");
      texts = lib.filterAttrs (_: script: isOurs (textOf script)) all;
    in
    map (
      name:
      warn "${option (path ++ [ name ])} reads what Vaultix places"
        "activation scripts run before the units that place it: there is no file at boot, and the one from before at a switch"
        "move the script into a service, which starts after secrets: systemd.services.${lib.strings.escapeNixIdentifier name} = { wantedBy = [ \"multi-user.target\" ]; serviceConfig.Type = \"oneshot\"; script = …; }"
    ) (attrNames texts);

  # NixOS fails on such a name without a word about where it is from.
  otherScripts = [
    "agenix"
    "agenixChown"
    "agenixInstall"
    "agenixNewGeneration"
    "agenixRoot"
    "setupSecrets"
    "setupSecretsForUsers"
  ];
  scriptOrders =
    let
      path = [
        "system"
        "activationScripts"
      ];
      all = removeAttrs (valueOf path { }) [ "script" ];
      missing = filter (name: !(all ? ${name})) otherScripts;
      waits = script: filter (name: elem name missing) (if isString script then [ ] else script.deps or [ ]);
    in
    concatMap (
      name:
      lib.optional (waits all.${name} != [ ]) (
        ensure false "cannot use ${list (waits all.${name})} in ${option (path ++ [ name ])}.deps"
          "there is no such script: units place the secrets of Vaultix, after all scripts"
          "take it from deps; where the script reads a secret, make it a service, which starts after secrets"
      )
    ) (attrNames all);

  copies =
    let
      path = [
        "environment"
        "etc"
      ];
      isLink =
        entry:
        elem (entry.mode or "symlink") [
          "symlink"
          "direct-symlink"
        ];
      isCopied =
        entry: (entry.enable or true) && !isLink entry && isOurs (asText (entry.source or ""));
    in
    map (
      name:
      warn "${option (path ++ [ name ])} copies what Vaultix places"
        "with a mode, the file is copied while the system is activated, before secrets are placed"
        "leave out mode, so that it is a link, or set path of the secret to ${quote "/etc/${name}"} instead"
    ) (attrNames (lib.filterAttrs (_: isCopied) (valueOf path { })));

  # tmpfiles.d(5): `C` copies from its argument. Modifiers follow the letter.
  isCopy = type: lib.hasPrefix "C" type;
  rules =
    let
      # Where each item that the text names is there in time, and not at a path of its own, which is made later.
      waits =
        text:
        let
          named = filter (item: names text item.path) items;
          isInTime =
            item:
            elem "systemd-tmpfiles-setup.service" item.before
            && lib.any (directory: lib.hasPrefix "${directory}/" item.path) directories;
        in
        named != [ ] && lib.all isInTime named;
      isEarly = text: isOurs text && !waits text;
      wordsOf = line: filter (word: word != "") (lib.splitString " " (builtins.replaceStrings [ "\t" ] [ " " ] line));
      fromLines = concatMap (
        line:
        let
          words = wordsOf line;
        in
        lib.optional (words != [ ] && isCopy (lib.head words) && isEarly (lib.last words)) line
      ) (valueOf [ "systemd" "tmpfiles" "rules" ] [ ]);
      fromSettings = concatMap (
        files:
        concatMap (
          target:
          concatMap (
            type:
            lib.optional (
              isCopy type && isEarly (asText (files.${target}.${type}.argument or ""))
            ) "${type} ${target}"
          ) (attrNames files.${target})
        ) (attrNames files)
      ) (attrValues (valueOf [ "systemd" "tmpfiles" "settings" ] { }));
    in
    map (
      rule:
      warn "the rule ${quote rule} of systemd.tmpfiles copies what Vaultix places"
        "systemd-tmpfiles does not wait for secrets"
        "set path of the secret to where the copy should be, with symlink = false where it has to be a file of its own; or, if it has no path, let systemd-tmpfiles wait: before = [ \"systemd-tmpfiles-setup.service\" \"systemd-tmpfiles-resetup.service\" ]"
    ) (fromLines ++ fromSettings);

  otherTools = [
    "sops-install-secrets.service"
    "sops-install-secrets-for-users.service"
    "agenix.service"
    "agenix-install-secrets.service"
  ];
  # Of mounts and slices, nobody orders any like this.
  kinds = [
    "services"
    "sockets"
    "timers"
    "paths"
    "targets"
  ];
  orders =
    let
      services = valueOf [ "systemd" "services" ] { };
      # Where the other tool is installed as well, waiting for it makes sense.
      missing = filter (unit: !(services ? ${lib.removeSuffix ".service" unit})) otherTools;
      # In `unitConfig`, as systemd has it: texts of words, or lists of these.
      words = value: concatMap (text: lib.splitString " " (asText text)) (lib.toList value);
      fromConfig = config: concatMap (name: words (config.${name} or [ ])) [ "Requires" "After" "Wants" "BindsTo" ];
      waits =
        unit:
        filter (other: elem other missing) (
          (unit.requires or [ ])
          ++ (unit.after or [ ])
          ++ (unit.wants or [ ])
          ++ (unit.bindsTo or [ ])
          ++ fromConfig (unit.unitConfig or { })
        );
      ofKind =
        kind:
        let
          path = [
            "systemd"
            kind
          ];
          all = valueOf path { };
        in
        concatMap (
          name:
          let
            units = lib.unique (waits all.${name});
          in
          lib.optional (units != [ ]) (
            warn "${option (path ++ [ name ])} waits for ${list units}"
              "there is no such unit: services start after the secrets of Vaultix by themselves"
              "take it from requires, wants, bindsTo and after, also in unitConfig; to follow one secret, name config.vaultix.secrets.<name>.unit"
          )
        ) (attrNames all);
    in
    concatMap ofKind kinds;

  # Many write this for agenix. The path of a file literal is copied alone, and no text.
  triggers =
    let
      path = [
        "systemd"
        "services"
      ];
      files = builtins.listToAttrs (
        map (item: {
          name = asText item.file;
          value = item;
        }) (attrValues cfg.secrets)
      );
      ofUnit =
        name: unit:
        concatMap (
          field:
          concatMap (
            trigger:
            let
              text = asText trigger;
            in
            lib.optional (isString trigger && files ? ${text}) (
              warn "${option (path ++ [ name ])}.${field} has the file of ${files.${text}.declaredAs}"
                "that is a path in the copy of the whole flake: all of it becomes part of the host, and each commit counts as a change"
                "take it from ${field}, and set ${files.${text}.declaredAs}.${
                  if field == "restartTriggers" then "restartUnits" else "reloadUnits"
                } = [ ${quote "${name}.service"} ]: that follows the plaintext"
            )
          ) (lib.flatten (unit.${field} or [ ]))
        ) [ "restartTriggers" "reloadTriggers" ];
    in
    lib.concatLists (mapAttrsToList ofUnit (valueOf path { }));
in
{
  assertions = initrd ++ scriptOrders;
  warnings = scripts ++ copies ++ rules ++ orders ++ triggers;
}

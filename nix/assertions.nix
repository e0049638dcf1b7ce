# a host's configuration → what is wrong with it, as `assertions` and `warnings`.
#
# A condition never throws: an invalid configuration can still be evaluated, and all failures are shown at
# once. Conditions on single items are in items.nix.
{
  config,
  lib,
  utils,
  self ? null,
  inputs ? self.inputs or { },
}:
let
  inherit (builtins) filter;
  inherit (import ./message.nix) failure list quote;
  inherit
    (import ./root.nix {
      inherit
        lib
        cfg
        self
        inputs
        ;
    })
    below
    cacheDirectory
    inputOf
    recipientKeyType
    shown
    ;
  inherit (import ./ciphertext.nix { inherit lib cfg; }) withoutSource withoutEntry;

  inherit (import ./private.nix { inherit lib; })
    isNoText
    isPrivate
    isTooLong
    message
    public
    typeMessage
    ;
  inherit (import ./types.nix { inherit lib; }) isRecipient;

  cfg = config.vaultix;
  enroll = import ./enroll.nix { inherit lib cfg; };
  host = cfg.settings.hostIdentifier;
  hasItems = cfg.secrets != { } || cfg.templates != { };
  isGenerated = id: cfg.secrets.${id}.generator != null;
  isEarly = id: builtins.elem id cfg.beforeUserborn;

  ensure = assertion: what: because: fix: {
    inherit assertion;
    message = failure { inherit what because fix; };
  };

  # Nix sees of another repository what flake.lock has.
  update =
    text:
    lib.optionalString (inputOf text != null)
      "; then commit and push in the repository of the input ${inputOf text}, and: nix flake update ${inputOf text}";

  place = id: shown cfg.secrets.${id}.file;
  missing = map place withoutSource;
  shownCache = shown (below cacheDirectory);
  cache = [
    (ensure (cfg.secrets == { } || cfg.settings.flake != null) "cannot find the secrets of host ${host}"
      "vaultix.settings.flake is not set, and neither specialArgs nor _module.args has `self` or `inputs.self`"
      "set vaultix.settings.flake = self, or pass specialArgs = { inherit self; } to nixosSystem"
    )
    (ensure (withoutSource == [ ]) "cannot use ${list withoutSource} of vaultix.secrets on host ${host}"
      "Nix cannot see ${list missing}; in a flake, it sees only what git tracks${
        lib.optionalString (lib.any (text: inputOf text != null) missing) ", and of an input, what flake.lock has"
      }"
      "git add them; create those that do not exist yet with: ${
        lib.concatStringsSep " and " (
          lib.optional (lib.any isGenerated withoutSource) "vaultix generate"
          ++ map (id: "vaultix edit ${place id}") (
            lib.take 1 (filter (id: !isGenerated id) withoutSource)
          )
        )
      }${lib.concatMapStrings update (lib.take 1 (filter (text: inputOf text != null) missing))}"
    )
    (ensure (!isKeyPublic || withoutEntry == [ ]) "cannot use ${list withoutEntry} of vaultix.secrets on host ${host}"
      "${shownCache} has no ciphertexts for them that match their files and the key of the host"
      (
        if inputOf shownCache == null then
          "vaultix renc && git add ${lib.removeSuffix "/${host}" shownCache}"
        else
          "vaultix renc${update shownCache}"
      )
    )
  ];

  users = [
    # NixOS' own script creates users before any unit starts, so that only early items need another way.
    (ensure
      (
        cfg.beforeUserborn == [ ] || config.services.userborn.enable || config.systemd.sysusers.enable
      )
      "cannot place ${list cfg.beforeUserborn} before the users of host ${host} are created"
      "neither services.userborn.enable nor systemd.sysusers.enable is set, so users are created before any unit starts"
      "set services.userborn.enable = true, or remove them from vaultix.beforeUserborn if no user needs them"
    )
  ]
  ++
    map
      (
        user:
        ensure false
          "cannot use ${quote user.hashedPasswordFile} as users.users.${user.name}.hashedPasswordFile"
          "it is a vaultix item that is placed after users are created"
          "add it to vaultix.beforeUserborn"
      )
      (
        filter (user: builtins.elem user.hashedPasswordFile latePaths) (lib.attrValues config.users.users)
      );
  # Not merged into one set: a secret and a template may have the same id.
  latePaths = lib.concatMap (
    items: lib.mapAttrsToList (_: item: item.path) (lib.filterAttrs (id: _: !isEarly id) items)
  ) [ (import ./placed.nix cfg.secrets) cfg.templates ];

  # The file systems that have to be mounted before a path can be read. A single file can also be one.
  holders =
    path:
    filter (
      fileSystem:
      fileSystem.mountPoint == "/" || lib.hasPrefix "${fileSystem.mountPoint}/" "${path}/"
    ) (lib.attrValues config.fileSystems);
  inherit (import ./file-systems.nix { inherit lib; }) isNetwork;
  late = path: filter (fileSystem: !utils.fsNeededForBoot fileSystem) (holders path);

  keys =
    map (
      { path, fileSystem }:
      ensure false "cannot use the host key ${path} on host ${host}"
        "${fileSystem.mountPoint} is a network file system, and secrets are placed before the network is up"
        "keep the key on a local file system, and set vaultix.settings.hostKeys"
    ) (placesWhere isNetwork)
    ++ map (
      { path, fileSystem }:
      ensure false "cannot use the host key ${path} for vaultix.beforeUserborn on host ${host}"
        "${fileSystem.mountPoint} is mounted after users are created"
        "set fileSystems.${quote fileSystem.mountPoint}.neededForBoot = true"
    ) (lib.optionals (cfg.beforeUserborn != [ ]) (placesWhere (fileSystem: !isNetwork fileSystem)))
    ++ [
      (ensure (!hasItems || !isKeyPublic || !isUnmade)
        "cannot decrypt the secrets of host ${host}"
        "services.openssh.enable is false, so NixOS makes no host key, and vaultix.settings.hostKeys is not set"
        "services.openssh.enable = true; or, with a key that is there: vaultix.settings.hostKeys = [ { path = \"/PATH/ON/THE/HOST\"; type = ${quote keyType}; } ]"
      )
      (ensure (!hasItems || !isKeyPublic || fitting != [ ] || isUnmade)
        "cannot decrypt the secrets of host ${host}"
        "vaultix.settings.hostKeys has no key of type ${quote keyType}, the type of hostPubkey"
        "set vaultix.settings.hostKeys = [ { path = \"/PATH/ON/THE/HOST\"; type = ${quote keyType}; } ]"
      )
    ];
  # sshd would make it, and is off.
  isUnmade =
    cfg.settings.hostKeys == [ ]
    && keyType != "age"
    && !config.services.openssh.enable
    && import ./ssh-keys.nix config == [ ];
  # What is mounted last counts, and that is the longest path.
  isForgotten =
    path:
    let
      longest = lib.sort (
        one: other: lib.stringLength one.mountPoint > lib.stringLength other.mountPoint
      ) (holders path);
    in
    builtins.any (fileSystem: builtins.elem fileSystem.fsType [ "ramfs" "tmpfs" ]) (lib.take 1 longest);
  # systemd passes the path on in a line of words.
  words = map (
    path:
    ensure false "cannot use the host key ${path} on host ${host}"
      "its path contains a space, a quote or a backslash, and systemd loads no credential from there"
      "move the file, and set vaultix.settings.hostKeys"
  ) (filter (path: builtins.match ".*[[:space:]\"'\\].*" path != null) sealedPaths);
  sealedPaths = map (key: toString key.path) (filter enroll.isSealed cfg.settings.hostKeys);
  enrolled = [
    (ensure (!cfg.settings.enroll || enroll.places != [ ] || keyType != "age")
      "cannot make an identity for host ${host}"
      "vaultix.settings.hostKeys has no key of type \"age\" or \"credential\""
      "remove vaultix.settings.hostKeys, or add the file that is to contain it: { path = \"/PATH/ON/THE/HOST\"; type = \"age\"; }"
    )
  ]
  ++ map (
    { path, type }:
    ensure false "cannot make an identity for host ${host} at ${path}"
      "the file system that ${path} is on is in memory, and does not survive a reboot"
      "set vaultix.settings.hostKeys = [ { path = \"/PATH/ON/A/DISK/${baseNameOf path}\"; type = ${quote type}; } ]"
  ) (filter (key: isForgotten key.path) enroll.keys);
  waiting = lib.optional (enroll.isWaiting && hasItems) (failure {
    what = "host ${host} gets no secrets yet";
    because = "vaultix.settings.hostPubkey is not set, and vaultix-enroll.service makes the identity for it";
    fix = "switch to this configuration, set hostPubkey to what this prints, and run vaultix renc: ssh root@${host} vaultix-decrypt enroll${
      lib.concatMapStrings (
        key:
        lib.optionalString (enroll.isSealed key) " --seal"
        + lib.optionalString (key.path != enroll.path) " --path ${key.path}"
      ) (lib.take 1 enroll.keys)
    }";
  });
  hasPublicPaths = !lib.any ({ path, ... }: isPrivate (toString path)) cfg.settings.hostKeys;
  placesWhere =
    test:
    lib.concatMap (
      key:
      map (fileSystem: {
        inherit fileSystem;
        inherit (key) path;
      }) (filter test (late key.path))
    ) enroll.files;
  keyType = recipientKeyType cfg.settings.hostPubkey;

  # Neither is shown: a text that has lost its beginning may still be most of a private key.
  key = cfg.settings.hostPubkey;
  isKeyPublic = !isTooLong key && !isPrivate key && isRecipient key;
  publicKeys = [
    {
      assertion = !isPrivate key;
      message = message "vaultix.settings.hostPubkey of host ${host}" public;
    }
    (ensure (key != "" || !hasItems || enroll.isWaiting) "cannot decrypt the secrets of host ${host}"
      "vaultix.settings.hostPubkey is not set"
      "set it to the output of this command on the host: cat /etc/ssh/ssh_host_ed25519_key.pub; or, from elsewhere, of this one without the name in front: ssh-keyscan -t ed25519 ${host}"
    )
    {
      assertion = !isNoText key;
      message = typeMessage "vaultix.settings.hostPubkey of host ${host}" key "set it to the public key as a text";
    }
    (ensure (key == "" || isKeyPublic || isPrivate key || isNoText key) "cannot use vaultix.settings.hostPubkey of host ${host}"
      "its ${toString (builtins.stringLength key)} bytes, which are not shown, are neither an ssh public key (ed25519 or rsa) nor an age recipient (age1…)"
      "set it to the output of this command on the host: cat /etc/ssh/ssh_host_ed25519_key.pub"
    )
    {
      assertion = hasPublicPaths;
      message = message "vaultix.settings.hostKeys of host ${host}" "set path to the file on the host that contains the key, and make a new key";
    }
  ]
  ++ map (key: {
    assertion = false;
    message =
      typeMessage "the path of a key in vaultix.settings.hostKeys of host ${host}" key.path
        "set it to the file on the host that contains the key, as a text";
  }) (filter (key: isNoText (toString key.path)) cfg.settings.hostKeys)
  ;
  fitting = filter (
    key: key.type == keyType || keyType == "age" && enroll.isSealed key
  ) cfg.settings.hostKeys;

  readers = import ./readers.nix { inherit config lib ensure; };

  inherit (cfg.settings) decryptedDir decryptedDirForUser decryptedMountPoint;
  overlap =
    one: other: one == other || lib.hasPrefix "${one}/" other || lib.hasPrefix "${other}/" one;
  directories = [
    (ensure
      (
        !overlap decryptedDir decryptedDirForUser
        && !overlap decryptedDir decryptedMountPoint
        && !overlap decryptedDirForUser decryptedMountPoint
      )
      "cannot use vaultix.settings.decryptedDir, decryptedDirForUser and decryptedMountPoint"
      "one of ${
        list [
          decryptedDir
          decryptedDirForUser
          decryptedMountPoint
        ]
      } is inside another"
      "set them to three directories side by side, such as the defaults"
    )
  ];

  unknown = filter (id: !(cfg.secrets ? ${id} || cfg.templates ? ${id})) cfg.beforeUserborn;
  nowhere = filter (id: cfg.secrets.${id}.intermediary or false) cfg.beforeUserborn;
  early = [
    (ensure (nowhere == [ ]) "cannot use vaultix.beforeUserborn"
      "other secrets are generated from ${list nowhere}, and no host gets it"
      "remove it, or set its intermediary to false"
    )
    (ensure (unknown == [ ]) "cannot use vaultix.beforeUserborn"
      "no secret and no template has the id ${list unknown}"
      "remove it, or correct the id to one in vaultix.secrets or vaultix.templates"
    )
  ];
in
{
  assertions =
    cache
    ++ users
    ++ publicKeys
    ++ lib.optionals hasPublicPaths (keys ++ words ++ enrolled)
    ++ directories
    ++ early
    ++ readers.assertions
    ++ import ./items.nix {
      inherit
        lib
        cfg
        ensure
        shown
        ;
    }
    ++ (import ./homes.nix { inherit config lib; }).assertions { inherit ensure shown; }
    ++ lib.optionals hasPublicPaths (import ./before.nix { inherit config lib ensure late; });
  warnings = readers.warnings ++ waiting ++ import ./owners.nix { inherit config lib; };
}

# a host's configuration → what is wrong with it, as `assertions`.
#
# A condition never throws: a configuration with a fault can still be looked at, and all its faults are
# shown at once. Conditions on single items come from items.nix.
{
  config,
  lib,
  utils,
}:
let
  inherit (builtins) filter;
  inherit (import ./message.nix) fault list quote;
  inherit (import ./root.nix { inherit lib cfg; }) cacheDirectory recipientKeyType;
  inherit (import ./ciphertext.nix { inherit lib cfg; }) withoutSource withoutEntry;

  cfg = config.vaultix;
  host = cfg.settings.hostIdentifier;
  hasItems = cfg.secrets != { } || cfg.templates != { };
  isGenerated = id: cfg.secrets.${id}.generator != null;
  isEarly = id: builtins.elem id cfg.beforeUserborn;

  ensure = assertion: what: because: fix: {
    inherit assertion;
    message = fault { inherit what because fix; };
  };

  flakePlace = file: lib.removePrefix "${toString cfg.settings.flake}/" (toString file);

  cache = [
    (ensure (cfg.secrets == { } || cfg.settings.flake != null) "cannot find the secrets of host ${host}"
      "vaultix.settings.flake is not set, and neither specialArgs nor _module.args has `self` or `inputs.self`"
      "set vaultix.settings.flake = self, or pass specialArgs = { inherit self; } to nixosSystem"
    )
    (ensure (withoutSource == [ ]) "cannot use ${list withoutSource} of vaultix.secrets on host ${host}"
      "Nix does not see ${
        list (map (id: flakePlace cfg.secrets.${id}.file) withoutSource)
      }; in a flake, it sees what git tracks"
      "git add them; what does not exist yet is made by: ${
        lib.concatStringsSep " and " (
          lib.optional (lib.any isGenerated withoutSource) "vaultix generate"
          ++ map (id: "vaultix edit ${flakePlace cfg.secrets.${id}.file}") (
            lib.take 1 (filter (id: !isGenerated id) withoutSource)
          )
        )
      }"
    )
    (ensure (withoutEntry == [ ]) "cannot use ${list withoutEntry} of vaultix.secrets on host ${host}"
      "${cacheDirectory} has nothing for them that fits their files and the key of the host"
      "vaultix renc && git add ${lib.removeSuffix "/${host}" cacheDirectory}"
    )
  ];

  users = [
    (ensure (!hasItems || config.services.userborn.enable || config.systemd.sysusers.enable)
      "cannot order the secrets of host ${host} and its users"
      "neither services.userborn.enable nor systemd.sysusers.enable is set, so no unit makes the users"
      "set services.userborn.enable = true"
    )
  ]
  ++
    map
      (
        user:
        ensure false
          "cannot use ${quote user.hashedPasswordFile} as users.users.${user.name}.hashedPasswordFile"
          "it is an item of vaultix that is placed after users are made"
          "add it to vaultix.beforeUserborn"
      )
      (
        filter (user: builtins.elem user.hashedPasswordFile latePaths) (lib.attrValues config.users.users)
      );
  # Not of both in one set: a secret and a template may have one id.
  latePaths = lib.concatMap (
    items: lib.mapAttrsToList (_: item: item.path) (lib.filterAttrs (id: _: !isEarly id) items)
  ) [ cfg.secrets cfg.templates ];

  # The file systems that have to be there before a path can be read. A single file can be one, too.
  holders =
    path:
    filter (
      fileSystem:
      fileSystem.mountPoint == "/" || lib.hasPrefix "${fileSystem.mountPoint}/" "${path}/"
    ) (lib.attrValues config.fileSystems);
  isNetwork =
    fileSystem:
    builtins.elem "_netdev" fileSystem.options
    || builtins.elem fileSystem.fsType [
      "afs"
      "ceph"
      "cifs"
      "fuse.glusterfs"
      "fuse.s3fs"
      "fuse.sshfs"
      "glusterfs"
      "nfs"
      "nfs4"
      "smb3"
      "sshfs"
    ];
  late = path: filter (fileSystem: !utils.fsNeededForBoot fileSystem) (holders path);

  keys =
    map (
      { path, fileSystem }:
      ensure false "cannot use the host key ${path} on host ${host}"
        "${fileSystem.mountPoint} is a network file system, and the network comes up after secrets"
        "keep the key on a local file system, and set vaultix.settings.hostKeys"
    ) (placesWhere isNetwork)
    ++ map (
      { path, fileSystem }:
      ensure false "cannot use the host key ${path} for vaultix.beforeUserborn on host ${host}"
        "${fileSystem.mountPoint} is mounted after users are made"
        "set fileSystems.${quote fileSystem.mountPoint}.neededForBoot = true"
    ) (lib.optionals (cfg.beforeUserborn != [ ]) (placesWhere (fileSystem: !isNetwork fileSystem)))
    ++ [
      (ensure (!hasItems || cfg.settings.hostKeys != [ ] && fitting != [ ])
        "cannot decrypt the secrets of host ${host}"
        "vaultix.settings.hostKeys has no key of type ${quote keyType}, which is what hostPubkey is"
        "set vaultix.settings.hostKeys = [ { path = \"/PATH/ON/THE/HOST\"; type = ${quote keyType}; } ]"
      )
    ];
  placesWhere =
    test:
    lib.concatMap (
      key:
      map (fileSystem: {
        inherit fileSystem;
        inherit (key) path;
      }) (filter test (late key.path))
    ) cfg.settings.hostKeys;
  keyType = recipientKeyType cfg.settings.hostPubkey;
  fitting = filter (key: key.type == keyType) cfg.settings.hostKeys;

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
      "of ${
        list [
          decryptedDir
          decryptedDirForUser
          decryptedMountPoint
        ]
      }, one lies in another"
      "set them to three directories side by side, such as the defaults"
    )
  ];

  unknown = filter (id: !(cfg.secrets ? ${id} || cfg.templates ? ${id})) cfg.beforeUserborn;
  early = [
    (ensure (unknown == [ ]) "cannot use vaultix.beforeUserborn"
      "no secret and no template has the id ${list unknown}"
      "take from it what is not there, or write the id as in vaultix.secrets or vaultix.templates"
    )
  ];
in
cache ++ users ++ keys ++ directories ++ early ++ import ./items.nix { inherit lib cfg ensure; }

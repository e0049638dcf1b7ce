# `before` of secrets and templates → units that cannot start after an item, as `assertions`.
#
# The generator checks the same by names alone (generator/src/profile/before.rs). Here, it is also known what is mounted from
# where, and which units are those of users.
{
  config,
  lib,
  ensure,
  # path → the file systems it is on that are mounted after the initrd
  late,
}:
let
  inherit (builtins) elem filter head;
  inherit (lib) concatMap hasPrefix mapAttrsToList;
  inherit (import ./escape.nix { inherit lib; }) escape;
  inherit (import ./message.nix) quote;

  cfg = config.vaultix;
  inherit (cfg.settings) decryptedMountPoint lateMounts;
  keys = map (key: toString key.path) (import ./enroll.nix { inherit lib cfg; }).files;

  mountUnit = path: "${escape (lib.removePrefix "/" path)}.mount";
  # "/a/b" → "/a/b" and "/a"
  ancestors = path: if elem path [ "/" "." "" ] then [ ] else [ path ] ++ ancestors (dirOf path);
  mountsOf = path: map mountUnit (filter (place: !elem place lateMounts) (ancestors path));

  ramfsMounts = concatMap (path: map mountUnit (ancestors path)) [
    "/run/vaultix.private/ramfs"
    decryptedMountPoint
  ];

  # systemd.special(7)
  ofUsers = [
    "app.slice"
    "background.slice"
    "graphical-session-pre.target"
    "graphical-session.target"
    "session.slice"
    "xdg-desktop-autostart.target"
  ];
  # What only users' managers have, as far as the configuration shows it: a package may bring a unit of the same name for the
  # system, as systemd itself does.
  isOfUsers =
    unit:
    elem unit ofUsers
    || !hasPrefix "systemd-" unit
    && lib.any (
      kind:
      let
        name = lib.removeSuffix ".${lib.removeSuffix "s" kind}" unit;
        units = path: lib.attrByPath path { } config;
      in
      name != unit && units [ "systemd" "user" kind ] ? ${name} && !(units [ "systemd" kind ] ? ${name})
    ) [ "services" "sockets" "timers" "targets" ];

  users = [
    "kmod-static-nodes.service"
    "systemd-firstboot.service"
    "systemd-fsck-root.service"
    "systemd-remount-fs.service"
    "systemd-sysusers.service"
    "systemd-tmpfiles-setup-dev-early.service"
    "userborn.service"
  ];
  beforeMounts = [
    "local-fs-pre.target"
    "systemd-tmpfiles-setup-dev.service"
    "systemd-udev-trigger.service"
    "systemd-udevd-control.socket"
    "systemd-udevd-kernel.socket"
    "systemd-udevd.service"
  ];
  # What opens the disk that a host key is on.
  disks = concatMap (
    key:
    concatMap (
      fileSystem:
      let
        device = toString (fileSystem.device or "");
        name = lib.removePrefix "/dev/mapper/" device;
        opens = [
          "cryptsetup-pre.target"
          "systemd-cryptsetup@${escape name}.service"
        ];
      in
      lib.optional (name != device) {
        inherit key opens;
      }
    ) (late key)
  ) keys;

  later = "list units that start later";
  earlier =
    id: "list units that start later, or add ${quote id} to vaultix.beforeUserborn if its host key is on a file system that the initrd mounts";
  suffixes = [
    "device"
    "scope"
    "slice"
  ];

  # Why `unit` cannot start after the item `id`; null where it can.
  obstacle =
    id: isEarly: unit:
    let
      cycle = what: fix: {
        because = "${quote unit} comes before ${quote id}: ${what}; systemd would drop one of them";
        inherit fix;
      };
      withKey = filter (key: elem unit (mountsOf key)) keys;
      withDisk = filter (disk: elem unit disk.opens) disks;
      kind = filter (suffix: lib.hasSuffix ".${suffix}" unit) suffixes;
    in
    if elem unit ramfsMounts || unit == "systemd-journald.socket" then
      cycle "the ramfs that it is placed on needs it" later
    else if hasPrefix "vaultix" unit then
      {
        because = "${quote unit} is a unit of Vaultix, and they have their own order: every item comes before vaultix.target";
        fix = "remove it";
      }
    else if isOfUsers unit then
      {
        because = "${quote unit} is a unit of users' managers, which know no unit of the system, and start after ${quote id}";
        fix = "remove it; restartUserUnits notifies units of users";
      }
    else if kind != [ ] then
      {
        because = "${quote unit} is a ${head kind}, which cannot wait for ${quote id}";
        fix = "list the units that read the item";
      }
    else if isEarly then
      null
    else if elem unit users then
      cycle "users are created by it or after it, and the item waits for them" (earlier id)
    else if withKey != [ ] then
      cycle "the host key ${head withKey} may be on it" (earlier id)
    else if keys != [ ] && elem unit beforeMounts then
      cycle "the host key ${head keys} may be on a file system that is mounted after it" (earlier id)
    else if withDisk != [ ] then
      cycle "the host key ${(head withDisk).key} is on a disk that it opens" (earlier id)
    else
      null;

  of =
    kind: items:
    mapAttrsToList (
      id: item:
      concatMap (
        unit:
        let
          found = obstacle id (elem id cfg.beforeUserborn) unit;
        in
        lib.optional (found != null) (
          ensure false "cannot use vaultix.${kind}.${lib.strings.escapeNixIdentifier id}.before"
            found.because
            found.fix
        )
      ) item.before
    ) items;
in
lib.concatLists (
  of "secrets" (import ./placed.nix cfg.secrets) ++ of "templates" cfg.templates
)

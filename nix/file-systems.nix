# file systems of a host → which come from the network, and which boot does not wait for.
{ lib }:
let
  inherit (builtins) any elem filter;

  # As fstab(5) has them, some write several into one text.
  optionsOf = fileSystem: lib.concatMap (lib.splitString ",") fileSystem.options;
  hasOption = fileSystem: any (option: elem option (optionsOf fileSystem));

  isNetwork =
    fileSystem:
    hasOption fileSystem [ "_netdev" ]
    || elem fileSystem.fsType [
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

  # Mounted later than the boot goes on, or perhaps never.
  isLate =
    fileSystem:
    isNetwork fileSystem
    || hasOption fileSystem [
      "nofail"
      "noauto"
      "x-systemd.automount"
    ];
in
{
  inherit isNetwork;

  # Boot does wait for what the initrd mounts, and for a host key, whatever the options say.
  lateMounts =
    { isNeededForBoot, hostKeys }:
    fileSystems:
    let
      hasKey =
        fileSystem: any (key: lib.hasPrefix "${fileSystem.mountPoint}/" (toString key.path)) hostKeys;
      isWaitedFor =
        fileSystem: isNeededForBoot fileSystem || (hasKey fileSystem && !isNetwork fileSystem);
    in
    map (fileSystem: fileSystem.mountPoint) (
      filter (fileSystem: isLate fileSystem && !isWaitedFor fileSystem) (lib.attrValues fileSystems)
    );
}

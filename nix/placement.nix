# where a plaintext goes and who may read it: the options that secrets and templates share.
{
  lib,
  cfg,
  users,
  kind,
}:
{ name, config, ... }:
let
  inherit (lib) literalExpression mkOption types;
  inherit (import ./escape.nix { inherit lib; }) unit;
  inherit (import ./types.nix { inherit lib; }) absolutePath account relativePath;

  units = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "nginx.service" ];
  };
  userUnits = mkOption {
    type = types.attrsOf (types.listOf types.str);
    default = { };
    example = {
      alice = [ "mail.service" ];
    };
  };
in
{
  options = {
    name = mkOption {
      type = relativePath;
      default = name;
      defaultText = literalExpression "<name>";
      example = "nginx/tls.key";
      description = ''
        File name below {option}`vaultix.settings.decryptedDir`; may contain directories.

        Set it to choose a file name; set `path` only for a file outside that directory.
      '';
    };

    path = mkOption {
      type = absolutePath;
      default =
        if builtins.elem name cfg.beforeUserborn then
          "${cfg.settings.decryptedDirForUser}/${config.name}"
        else
          "${cfg.settings.decryptedDir}/${config.name}";
      defaultText = literalExpression ''"''${config.vaultix.settings.decryptedDir}/''${name}"'';
      example = "/var/lib/app/token";
      description = ''
        Path of the plaintext; use it in the configuration of programs.

        Any path other than the default becomes a symlink to the file in memory, made once local file systems are
        mounted, or, below one of {option}`vaultix.settings.lateMounts`, when that is mounted.
        Items in {option}`vaultix.beforeUserborn` are below
        {option}`vaultix.settings.decryptedDirForUser`.
      '';
    };

    mode = mkOption {
      type = types.strMatching "0?[0-7]{3}";
      default = "0400";
      example = "0440";
      description = ''
        Permission bits of the file, in octal as for {manpage}`chmod(1)`.

        Applied before the file appears under its name, so it is never readable by more users than this.
      '';
    };

    owner = mkOption {
      type = account;
      default = "root";
      example = "nginx";
      description = ''
        User that owns the file, by name or number.

        The unit of this item fails if the user does not exist. Items in {option}`vaultix.beforeUserborn` are placed
        before users exist and need `root` or a number.
      '';
    };

    group = mkOption {
      type = account;
      default =
        let
          own = users.${config.owner}.group or "";
        in
        if own == "" then "root" else own;
      defaultText = literalExpression ''config.users.users.''${owner}.group or "root"'';
      example = "nginx";
      description = ''
        Group of the file, by name or number.

        The unit of this item fails if the group does not exist.
      '';
    };

    symlink = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether a custom `path` is a symlink to the file in memory.

        With `false`, the plaintext itself is put there, which is refused if that is on a disk.
      '';
    };

    restartUnits = units // {
      description = ''
        Units to restart when the plaintext, owner, group or mode has changed, by their full names.

        They also start after this item, if both start. Neither a new ciphertext of the same plaintext nor an item that
        could not be placed restarts anything.
      '';
    };

    reloadUnits = units // {
      description = ''
        Units to reload when the plaintext, owner, group or mode has changed, by their full names.

        They also start after this item, if both start.
      '';
    };

    before = units // {
      example = [
        "cryptsetup-pre.target"
        "systemd-cryptsetup@data.service"
      ];
      description = ''
        Units to start after this item, by their full names. They are not restarted when it changes.

        For units that start before `sysinit.target`, such as those that open a disk or mount a file system with a
        password; all others start after secrets anyway. The file below {option}`vaultix.settings.decryptedDir` is there in
        time. A `path` of its own is not: that is made once local file systems are mounted. What the item itself waits for
        is refused: the creation of users, and the mount of the host key. Items in {option}`vaultix.beforeUserborn` wait for
        neither.
      '';
    };

    restartUserUnits = userUnits // {
      description = ''
        Units of users' own managers (`systemctl --user`) to restart when the plaintext, owner, group or mode has changed:
        for each user, their full names.

        Only a manager that is running is notified: none is started for it, and one that does not answer delays nothing.
      '';
    };

    reloadUserUnits = userUnits // {
      description = ''
        Units of users' own managers (`systemctl --user`) to reload when the plaintext, owner, group or mode has changed:
        for each user, their full names.
      '';
    };

    unit = mkOption {
      type = types.str;
      readOnly = true;
      default = unit kind name;
      defaultText = literalExpression ''"vaultix-${kind}@''${systemd-escape name}.service"'';
      description = ''
        The unit of the item, for {option}`systemd.services.<name>.requires` and the like.

        Boot places all items in one process, and starts the unit of an item afterwards, or for a unit that requires, wants
        or binds to it. Ordinary services start when the file is there anyway.
      '';
    };
  };
}

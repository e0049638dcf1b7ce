# who may read a plaintext, and what waits for it: the options of secrets and templates that only a host has.
{
  lib,
  users,
  # "secret" or "template"
  kind,
}:
{ name, config, ... }:
let
  inherit (lib) literalExpression mkOption types;
  inherit (import ./escape.nix { inherit lib; }) unit;
  inherit (import ./types.nix { inherit lib; }) account;
  inherit (import ./message.nix) failure;

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
    owner = mkOption {
      type = account;
      default = "root";
      example = "nginx";
      description = ''
        User that owns the file, by name or number.

        The unit of this item fails if the user does not exist, and evaluation warns of one that {option}`users.users` does
        not declare. A user that systemd makes while a service runs (`DynamicUser`) cannot own a file. Items in {option}`vaultix.beforeUserborn` are placed
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

        The unit of this item fails if the group does not exist, and evaluation warns of one that {option}`users.groups`
        does not declare.
      '';
    };

    before = mkOption {
      type = types.listOf types.str;
      default = [ ];
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
      default =
        if config.intermediary or false then
          throw (failure {
            what = "cannot use the unit of ${name}";
            because = "only other secrets are generated from it, and no host gets it";
            fix = "use a secret that is generated from it, or set its intermediary to false";
          })
        else
          unit kind name;
      defaultText = literalExpression ''"vaultix-${kind}@''${systemd-escape name}.service"'';
      description = ''
        The unit of the item, for {option}`systemd.services.<name>.requires` and the like.

        Boot places all items in one process, and starts the unit of an item afterwards, or for a unit that requires, wants
        or binds to it. Ordinary services start when the file is there anyway.
      '';
    };

    declaredAs = mkOption {
      type = types.str;
      internal = true;
      default = "vaultix.${kind}s.${lib.strings.escapeNixIdentifier name}";
      defaultText = literalExpression ''"vaultix.<kind>.<name>"'';
      description = "What messages call the item: where it is declared, which may be in a home.";
    };
  };
}

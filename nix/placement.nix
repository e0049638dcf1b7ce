# where a plaintext goes and who is notified: the options that secrets and templates share, on a host and in a home.
{
  lib,
  cfg,
  words,
}:
{ name, config, ... }:
let
  inherit (lib) literalExpression mkOption types;
  inherit (import ./types.nix { inherit lib; }) absolutePath relativePath;
  inherit (import ./message.nix) failure;

  listOfUnits = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ words.exampleUnit ];
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
        File name below ${words.directory}; may contain directories.

        Set it to choose a file name; set `path` only for a file outside that directory.
      '';
    };

    path = mkOption {
      type = absolutePath;
      default =
        if config.intermediary or false then
          throw (failure {
            what = "cannot use the path of ${name}";
            because = "only other secrets are generated from it, and no host gets it";
            fix = "use a secret that is generated from it, or set its intermediary to false";
          })
        else if builtins.elem name cfg.beforeUserborn then
          "${cfg.settings.decryptedDirForUser}/${config.name}"
        else
          "${cfg.settings.decryptedDir}/${config.name}";
      defaultText = words.path;
      example = words.examplePath;
      description = ''
        Path of the plaintext; use it in the configuration of programs.

        Any path other than the default becomes a symlink to the file in memory, made once local file systems are
        mounted, or, below one of {option}`vaultix.settings.lateMounts`, when that is mounted.${words.early}
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

    symlink = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether a custom `path` is a symlink to the file in memory.

        With `false`, the plaintext itself is put there, which is refused if that is on a disk.
      '';
    };

    restartUnits = listOfUnits // {
      description = ''
        ${words.units} to restart when the plaintext, owner, group or mode has changed, by their full names.

        ${words.order} Neither a new ciphertext of the same plaintext nor an item that
        could not be placed restarts anything.
      '';
    };

    reloadUnits = listOfUnits // {
      description = ''
        ${words.units} to reload when the plaintext, owner, group or mode has changed, by their full names.

        ${words.order}
      '';
    };
  };
}

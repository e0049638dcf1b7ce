# what the descriptions of one option say on a host, and in a home.
{ lib }:
let
  inherit (lib) literalExpression literalMD;
in
{
  host = {
    called = "id";
    id = literalExpression "<name>";
    file = literalExpression ''"''${self}/''${defaultSecretDirectory}/<name>.age"'';
    directory = "{option}`vaultix.settings.decryptedDir`";
    path = literalExpression ''"''${config.vaultix.settings.decryptedDir}/''${name}"'';
    examplePath = "/var/lib/app/token";
    early = "\nItems in {option}`vaultix.beforeUserborn` are below\n{option}`vaultix.settings.decryptedDirForUser`.";
    units = "Units";
    exampleUnit = "nginx.service";
    order = "They also start after this item, if both start.";
    dependencies = "Ids of secrets of this host that this secret is made from.";
    machine = "host";
    arguments = "`specialArgs`";
    forWhom = " for hosts";
    everywhere = "all hosts";
    defaultFiles = "Where the files of secrets without `file` are, relative to {option}`vaultix.settings.flake`.";
  };

  home = {
    called = "name";
    id = literalMD "on a host, the user's name, a slash and the name of the secret: `alice/mail`; otherwise the name";
    file = literalExpression ''"''${self}/''${defaultSecretDirectory}/''${config.home.username}/<name>.age"'';
    directory = "the user's own directory, such as {file}`/run/vaultix/alice` or {file}`~/.local/state/vaultix`";
    path = literalMD "on a host `/run/vaultix/<user>/<name>`, otherwise `~/.local/state/vaultix/<name>`";
    examplePath = "/home/alice/.config/mail/password";
    early = "";
    units = "Units of the user's own manager (`systemctl --user`)";
    exampleUnit = "mail.service";
    order = "Only a manager that is running is notified; one that starts later finds the file.";
    dependencies = "Names of secrets of this home that this secret is made from; on a host, any other name is the id of a secret of that.";
    machine = "home";
    arguments = "`extraSpecialArgs`";
    forWhom = "";
    everywhere = "all hosts and homes";
    defaultFiles = "Where the directory with the files of this user is that secrets without `file` have, relative to\n{option}`vaultix.settings.flake`.";
  };
}

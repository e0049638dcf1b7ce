# a valid host, which the others change.
{ config, ... }:
{
  services.userborn.enable = true;
  users.users.nginx.group = "web";
  users.groups.web = { };
  users.users.alice.hashedPasswordFile = config.vaultix.secrets.password.path;
  vaultix = {
    settings.flake = ./flake;
    settings.hostPubkey = ./flake/host_key.pub;
    beforeUserborn = [ "password" ];
    secrets = {
      password = { };
      hello = {
        owner = "nginx";
        mode = "0440";
        name = "web/hello";
        restartUnits = [ "nginx.service" ];
        insert."81c4b7f7e0549f1514e9cae97cf40cf133920418d3dc71bedbf60ec9bd6148cb".content = "text";
      };
    };
    templates."app.conf" = {
      content = "password = ${config.vaultix.placeholder.hello}\nother = {{ something else }}\n";
      path = "/var/lib/app/app.conf";
    };
  };
}

# homes of home-manager on this host → their secrets and templates as those of the host, and what is wrong with them.
#
# Nothing of home-manager is needed here: where the option does not exist, there are no homes.
{ config, lib }:
let
  inherit (lib.strings) escapeNixIdentifier;
  inherit (import ./message.nix) quote;

  # Homes without our module have no `vaultix`.
  homes = lib.filterAttrs (_: home: home ? vaultix) (config.home-manager.users or { });

  declaredAs =
    user: kind: name:
    "home-manager.users.${escapeNixIdentifier user}.vaultix.${kind}.${escapeNixIdentifier name}";

  # An item of the home as one of the host: what only the host decides follows from the user.
  placement =
    user: home: kind: name: item:
    let
      owner = home.home.username;
      ofUser = units: lib.optionalAttrs (units != [ ]) { ${owner} = units; };
    in
    {
      name = "${owner}/${item.name}";
      inherit (item) path mode symlink;
      inherit owner;
      restartUserUnits = ofUser item.restartUnits;
      reloadUserUnits = ofUser item.reloadUnits;
      declaredAs = declaredAs user kind name;
    };

  # Names that the home has mean its own secrets.
  generator =
    home: value:
    if value == null then
      null
    else
      value
      // {
        dependencies = map (
          one: if builtins.isString one then home.vaultix.secrets.${one}.id or one else one
        ) value.dependencies;
      };

  secret = user: home: name: item: {
    name = item.id;
    value = placement user home "secrets" name item // {
      inherit (item)
        file
        key
        format
        intermediary
        rotate
        allowDisk
        insert
        cleanPlaceholder
        ;
      generator = generator home item.generator;
    };
  };

  # Not `file`: what it names are secrets of the home.
  template = user: home: name: item: {
    name = "${home.home.username}/${name}";
    value = placement user home "templates" name item // {
      inherit (item) content trim;
    };
  };

  each = f: lib.concatLists (lib.mapAttrsToList f homes);
  allOf =
    kind: make:
    builtins.listToAttrs (each (user: home: lib.mapAttrsToList (make user home) home.vaultix.${kind}));
in
{
  secrets = allOf "secrets" secret;
  templates = allOf "templates" template;

  assertions =
    { ensure, shown }:
    each (
      user: home:
      let
        labelled =
          kind:
          lib.mapAttrsToList (name: item: {
            option = declaredAs user kind name;
            inherit item;
          }) home.vaultix.${kind};
        placed = builtins.filter ({ item, ... }: !item.intermediary) (labelled "secrets");
        directory = home.home.homeDirectory;
        # What is below the other directory is checked with the items of the host.
        isElsewhere =
          { item, ... }:
          !lib.any (place: lib.hasPrefix "${place}/" item.path) [
            directory
            config.vaultix.settings.decryptedDir
          ];
      in
      map (
        { option, item }:
        ensure false "cannot use ${option}.path"
          "${quote item.path} is not below ${directory}, and a home has no say in what is outside"
          "set it to a path below \"\${config.home.homeDirectory}\", or declare it in vaultix.secrets of the host with owner = ${quote home.home.username}"
      ) (builtins.filter isElsewhere (placed ++ labelled "templates"))
      ++ import ./template-assertions.nix {
        inherit lib ensure shown;
        cfg = home.vaultix;
        who = "the home of ${user}";
        templates = labelled "templates";
      }
    );
}

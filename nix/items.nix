# secrets and templates → what is wrong with them, as `assertions`.
#
# The generator checks the same again; generator/tests/nix.rs makes sure that it refuses what is refused here.
{
  lib,
  cfg,
  ensure,
  # What a file is called in messages.
  shown,
}:
let
  inherit (builtins) elem filter match;
  inherit (lib) concatMap hasPrefix mapAttrsToList;
  inherit (import ./escape.nix { inherit lib; }) escape;
  inherit (import ./message.nix) list quote;
  inherit (import ./types.nix { inherit lib; }) hash;
  inherit (cfg.settings) decryptedDir decryptedDirForUser decryptedMountPoint;
  placed = import ./placed.nix cfg.secrets;

  labelled =
    isSecret:
    mapAttrsToList (
      id: item: {
        inherit id item isSecret;
        option = item.declaredAs;
        isEarly = elem id cfg.beforeUserborn;
      }
    );
  allSecrets = labelled true cfg.secrets;
  # The others are nowhere on the host.
  secrets = labelled true placed;
  templates = labelled false cfg.templates;
  items = secrets ++ templates;

  # One assertion for every item that fails the test.
  whenever =
    test: texts:
    concatMap (
      entry:
      let
        inherit (texts entry) what because fix;
      in
      lib.optional (test entry) (ensure false what because fix)
    );

  # What is a unit of one user here is a unit of theirs in their home.
  field =
    name: entry:
    "cannot use ${entry.option}.${
      if isOfHome entry then builtins.replaceStrings [ "UserUnits" ] [ "Units" ] name else name
    }";
  isOfHome = { option, ... }: !hasPrefix "vaultix." option;

  isInside = directory: path: path == directory || hasPrefix "${directory}/" path;
  isDefault =
    { item, ... }:
    elem item.path [
      "${decryptedDir}/${item.name}"
      "${decryptedDirForUser}/${item.name}"
    ];

  names =
    whenever ({ id, ... }: id == "") (_: {
      what = "cannot use an item without a name in vaultix.secrets or vaultix.templates";
      because = "its id is \"\"";
      fix = "write an id of at least one character";
    }) items
    ++ whenever ({ item, ... }: isInside ".vaultix" item.name) (entry: {
      what = field "name" entry;
      because = "${quote entry.item.name} is where a generation keeps its journal";
      fix = "choose a name that does not begin with \".vaultix/\"";
    }) items;

  pointer = import ./pointer.nix;
  hasKey = { item, ... }: item.key != null;
  isKey = { item, ... }: item.key != null && pointer item.key != null;
  keys =
    whenever (entry: hasKey entry && !isKey entry) (entry: {
      what = field "key" entry;
      because =
        if entry.item.key == "" || entry.item.key == [ ] then
          "it is empty"
        else
          "in a text that begins with /, ~ is written ~0, and / inside of a key ~1";
      fix = "write it like \"smtp/password\", or as a list of keys; null stands for the whole file";
    }) allSecrets
    ++ whenever (entry: isKey entry && entry.item.format == null) (entry: {
      what = field "key" entry;
      because = "the name of ${quote (shown entry.item.file)} does not say how the file is written";
      fix = "set format to one of ${list (import ./format.nix).formats}, or call the file like \"mail.yaml.age\"";
    }) allSecrets;

  # value of a field → the items that share it, where there are several.
  shared =
    fieldName:
    lib.filterAttrs (_: group: builtins.length group > 1) (
      lib.groupBy (entry: entry.item.${fieldName}) items
    );
  options = map (entry: entry.option);
  inside = mapAttrsToList (_: entry: entry) (
    lib.genAttrs (map (entry: entry.item.name) items) (name: {
      inherit name;
      below = filter (entry: hasPrefix "${name}/" entry.item.name) items;
      at = filter (entry: entry.item.name == name) items;
    })
  );
  clashes =
    mapAttrsToList (
      name: group:
      ensure false "cannot place ${lib.concatStringsSep " and " (options group)}"
        "all have the name ${quote name}, and therefore the same file"
        "set a different name in all but one of them"
    ) (shared "name")
    ++ map (
      {
        name,
        at,
        below,
      }:
      ensure false "cannot place ${
        lib.concatStringsSep " and " (options (at ++ below))
      }" "${quote name} is a file in one and a directory in another" "set a different name in one of them"
    ) (filter (entry: entry.below != [ ]) inside)
    ++ mapAttrsToList (
      path: group:
      ensure false "cannot place ${lib.concatStringsSep " and " (options group)}"
        "all have the path ${quote path}"
        "set a different path in all but one of them"
    ) (lib.filterAttrs (_: group: !lib.all isDefault group) (shared "path"));

  ours = [
    decryptedDir
    decryptedDirForUser
    decryptedMountPoint
  ];
  paths =
    whenever
      (
        entry:
        !isDefault entry
        && lib.any (
          directory: isInside directory entry.item.path || isInside entry.item.path directory
        ) ours
      )
      (entry: {
        what = field "path" entry;
        because = "${quote entry.item.path} is inside a directory that Vaultix makes, or contains one";
        fix = "set name to choose a file there, or path to one elsewhere";
      })
      items
    ++
      whenever (entry: !entry.isEarly && entry.item.path == "${decryptedDirForUser}/${entry.item.name}")
        (entry: {
          what = field "path" entry;
          because = "${quote entry.item.path} is for items that are needed before users exist, and ${quote entry.id} is not in vaultix.beforeUserborn";
          fix = "leave path out, or add ${quote entry.id} to vaultix.beforeUserborn";
        })
        items;

  suffixes = "service|socket|device|mount|automount|swap|target|path|timer|slice|scope";
  isUnit =
    text:
    match "[A-Za-z0-9:_\\][A-Za-z0-9:_.\\@-]*[.](${suffixes})" text != null
    && match ".*@[.][a-z]+" text == null;
  withSuffix =
    text:
    if isUnit "${text}.service" && !hasSuffix text then "${text}.service" else "getty@tty1.service";
  hasSuffix = text: match ".*[.](${suffixes})" text != null;
  units =
    concatMap
      (
        name:
        whenever ({ item, ... }: !lib.all isUnit item.${name}) (
          entry:
          let
            odd = filter (text: !isUnit text) entry.item.${name};
          in
          {
            what = field name entry;
            because = "${list odd}: not the full name of a unit";
            fix = "write it in full, like ${quote (withSuffix (lib.head odd))}";
          }
        ) items
      )
      [
        "restartUnits"
        "reloadUnits"
        "before"
      ]
    ++ concatMap
      (
        name:
        whenever (entry: earlier entry name != [ ]) (entry: {
          what = field name entry;
          because = "${list (earlier entry name)} starts before ${quote entry.id}, and cannot wait for it";
          fix = "list units that start later";
        }) items
      )
      [
        "restartUnits"
        "reloadUnits"
      ]
    ++ concatMap
      (
        name:
        whenever (entry: oddOfUsers entry name != [ ]) (
          entry: {
            what = field name entry;
            because = "${list (oddOfUsers entry name)}: not the full name of a unit";
            fix = "write it in full, like ${quote (withSuffix (lib.head (oddOfUsers entry name)))}";
          }
        ) items
      )
      [
        "restartUserUnits"
        "reloadUserUnits"
      ];
  oddOfUsers = { item, ... }: name: filter (text: !isUnit text) (lib.concatLists (lib.attrValues item.${name}));

  # The units of a field that an item is ordered after: systemd would drop one of the two at boot.
  earlier =
    { item, isEarly, ... }:
    name:
    filter (
      unit:
      hasPrefix "vaultix" unit
      || elem unit [
        "sysinit.target"
        mountUnit
      ]
      || !isEarly && elem unit userUnits
    ) item.${name};
  mountUnit = "${escape (lib.removePrefix "/" decryptedMountPoint)}.mount";
  userUnits = [
    "systemd-sysusers.service"
    "userborn.service"
  ];

  isNumeric = text: text == "root" || match "[0-9]+" text != null;
  accounts =
    concatMap
      (
        name:
        whenever (entry: entry.isEarly && !isOfHome entry && !isNumeric entry.item.${name}) (entry: {
          what = field name entry;
          because = "${quote entry.item.${name}} is a name, and ${quote entry.id} is in vaultix.beforeUserborn: no user exists yet";
          fix = "set it to \"root\" or a number";
        }) items
      )
      [
        "owner"
        "group"
      ]
    ++ whenever (entry: entry.isEarly && isOfHome entry) (entry: {
      what = "cannot place ${entry.option} before users are created";
      because = "it belongs to user ${entry.item.owner}, and ${quote entry.id} is in vaultix.beforeUserborn: no user exists yet";
      fix = "remove ${quote entry.id} from vaultix.beforeUserborn; declare what is needed that early in vaultix.secrets of the host";
    }) items;

  # Placeholders in a text, and the ids of the secrets that they stand for.
  mark = "[{][{][ \t]*([0-9a-f]{64})([ \t][^{}\n]*)?[}][}]";
  marksIn =
    text:
    map (groups: {
      hash = lib.head groups;
      # null for the value as it is.
      encoding = lib.head (match "[ \t]*(.*[^ \t])?[ \t]*" (toString (lib.last groups)));
    }) (filter builtins.isList (builtins.split mark text));
  hashesIn = text: map (mark: mark.hash) (marksIn text);
  idsOf =
    secrets:
    lib.listToAttrs (
      mapAttrsToList (id: placeholder: lib.nameValuePair (lib.head (hashesIn placeholder)) id) (
        builtins.intersectAttrs secrets cfg.placeholder
      )
    );
  idOf = idsOf placed;
  intermediaryOf = removeAttrs (idsOf cfg.secrets) (builtins.attrNames idOf);
  used = text: map (hash: idOf.${hash}) (filter (hash: idOf ? ${hash}) (hashesIn text));
  isKnown = hash: idOf ? ${hash} || intermediaryOf ? ${hash};
  unknownIn = { item, ... }: lib.unique (filter (hash: !isKnown hash) (hashesIn item.content));
  intermediaryIn =
    { item, ... }:
    lib.unique (
      map (hash: intermediaryOf.${hash}) (
        filter (hash: intermediaryOf ? ${hash}) (hashesIn item.content)
      )
    );
  lateIn = { item, ... }: lib.unique (filter (id: !elem id cfg.beforeUserborn) (used item.content));
  encodings = import ./encodings.nix;
  unknownEncodingsIn =
    { item, ... }:
    lib.unique (
      filter (encoding: encoding != null && !elem encoding encodings) (
        map (mark: mark.encoding) (marksIn item.content)
      )
    );
  known = "the encodings are ${lib.concatStringsSep ", " encodings}";
  contents =
    whenever (entry: unknownIn entry != [ ]) (entry: {
      what = field "content" entry;
      because = "it has placeholders that belong to no secret of this host: ${list (unknownIn entry)}";
      fix = "write \${config.vaultix.placeholder.<name>} with the name of a secret";
    }) templates
    ++ whenever (entry: intermediaryIn entry != [ ]) (entry: {
      what = field "content" entry;
      because = "it uses ${list (intermediaryIn entry)}, which other secrets are generated from and no host gets";
      fix = "use a secret that is generated from it, or remove intermediary";
    }) templates
    ++ whenever (entry: unknownEncodingsIn entry != [ ]) (entry: {
      what = field "content" entry;
      because = "placeholders ask for ${list (unknownEncodingsIn entry)}; ${known}";
      fix = "write \${config.vaultix.placeholderAs.<encoding>.<name>}";
    }) templates
    ++ whenever (entry: entry.isEarly && lateIn entry != [ ]) (entry: {
      what = field "content" entry;
      because = "${quote entry.id} is in vaultix.beforeUserborn, and it uses ${list (lateIn entry)}, which is not";
      fix = "add ${list (lateIn entry)} to vaultix.beforeUserborn";
    }) templates;

  files = import ./template-assertions.nix {
    inherit
      lib
      cfg
      ensure
      shown
      ;
    who = "this host";
    # Those of homes name the secrets of their home: homes.nix.
    templates = filter (entry: !isOfHome entry) templates;
  };

  isHash = hash.check;
  odd = { item, ... }: filter (text: !isHash text) (builtins.attrNames item.insert);
  inserts = whenever (entry: odd entry != [ ]) (entry: {
    what = field "insert" entry;
    because = "${list (odd entry)}: not 64 lower-case hex digits";
    fix = "make them with: openssl rand -hex 32";
  }) secrets;
in
names ++ keys ++ clashes ++ paths ++ units ++ accounts ++ contents ++ files ++ inserts

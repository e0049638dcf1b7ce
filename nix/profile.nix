# options of one host → its profile, for the host or for the desk; the only maker of profile.json.
#
# Field by field and never a whole option tree: what is written here ends up in the host's closure
# together with every store path it names. Only builtins.
let
  inherit (builtins)
    attrNames
    filter
    intersectAttrs
    isString
    mapAttrs
    ;
  placed = import ./placed.nix;
  inherit (import ./cache-name.nix) withoutComment;
  pointer = import ./pointer.nix;

  placement = item: {
    inherit (item)
      name
      path
      mode
      owner
      group
      symlink
      restartUnits
      reloadUnits
      restartUserUnits
      reloadUserUnits
      before
      ;
  };

  insert = text: { inherit (text) order content; };

  secret =
    ciphertext: id: item:
    placement item
    // {
      inherit id;
      inherit (item) allowDisk cleanPlaceholder;
      insert = mapAttrs (_: insert) item.insert;
    }
    // ciphertext id item;

  # What is not set is left out: only some of it goes with each kind.
  generator =
    item:
    { inherit (item) kind; }
    // unless null { inherit (item) length user; }
    // unless [ ] {
      dependencies = map dependency item.dependencies;
      inherit (item) command;
    };
  dependency = one: if isString one then one else { inherit (one) host secret; };
  unless =
    empty: values: removeAttrs values (filter (name: values.${name} == empty) (attrNames values));

  # What is no key stays as it is, so that the desk refuses it; a list that is none is empty.
  value =
    item:
    let
      found = pointer item.key;
      asItIs = if builtins.isList item.key then "" else item.key;
    in
    { key = if found == null then asItIs else found; } // unless null { inherit (item) format; };

  template =
    _: item:
    placement item
    // {
      inherit (item) content trim;
    };

  # toString, since a path that is written as one would be copied to the store by toJSON.
  hostKey = key: {
    path = toString key.path;
    inherit (key) type;
  };

  profile = secrets: cfg: {
    version = 1;
    settings = {
      inherit (cfg.settings)
        beforeNetwork
        decryptedDir
        decryptedDirForUser
        decryptedMountPoint
        hostIdentifier
        keepGenerations
        lateMounts
        ;
      hostPubkey = withoutComment cfg.settings.hostPubkey;
      hostKeys = map hostKey cfg.settings.hostKeys;
      # A link that outlives updates of systemd, and so leaves the profile as it is.
      systemctl = cfg.settings.systemctl or "/run/current-system/systemd/bin/systemctl";
    };
    inherit secrets;
    templates = mapAttrs template cfg.templates;
    placeholder = intersectAttrs (placed cfg.secrets) cfg.placeholder;
    inherit (cfg) beforeUserborn;
  };
  source =
    _: item:
    {
      file = toString item.file;
    }
    // (if item.key == null then { } else value item)
    // (if item.generator == null then { } else { generator = generator item.generator; })
    // unless null { inherit (item) rotate; };

  # Where it would be placed is not looked at: nowhere.
  intermediary =
    id: item:
    {
      inherit id;
      intermediary = true;
    }
    // source id item;
in
{
  # What a host reads. `cipher` maps the id of a secret to the store path of its ciphertext.
  host = cipher: cfg: profile (mapAttrs (secret (id: _: { cipher = cipher id; })) (placed cfg.secrets)) cfg;

  # What the desk reads: where each secret's master ciphertext lies, which value in it it is, and how it is made if it does
  # not exist.
  workspace =
    cfg:
    profile (mapAttrs (
      id: item: if item.intermediary then intermediary id item else secret source id item
    ) cfg.secrets) cfg;
}

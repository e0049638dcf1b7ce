# a host's configuration → whose plaintexts would belong to nobody, as warnings.
#
# Warnings, since users can be made by hand, or by a program that NixOS does not know.
{ config, lib }:
let
  inherit (builtins) attrValues elem filter;
  inherit (import ./message.nix) failure quote;
  inherit (lib.strings) escapeNixIdentifier;

  cfg = config.vaultix;
  items = attrValues (import ./placed.nix cfg.secrets) ++ attrValues cfg.templates;

  isNumber = name: builtins.match "[0-9]+" name != null;
  namesOf =
    accounts: map (one: one.name) (filter (one: one.enable or true) (attrValues accounts));
  users = namesOf config.users.users;
  groups = namesOf config.users.groups;

  # systemd makes these while the service runs, with a group of the same name, and writes them to no file.
  dynamic = lib.concatLists (
    lib.mapAttrsToList (
      name: service:
      let
        inherit (service) serviceConfig;
      in
      lib.optional (elem (serviceConfig.DynamicUser or false) [
        true
        "true"
        "yes"
        "1"
      ]) {
        user = serviceConfig.User or name;
        service = name;
      }
    ) (lib.filterAttrs (_: service: service ? serviceConfig) config.systemd.services)
  );

  unknown =
    field: declared:
    lib.groupBy (item: item.${field}) (
      filter (item: item.${field} != "root" && !isNumber item.${field} && !elem item.${field} declared) items
    );

  warning =
    field: noun: option: name: owned:
    let
      services = filter (one: one.user == name) dynamic;
      inherit (lib.head services) service;
      declared = lib.concatMapStringsSep ", " (item: item.declaredAs) owned;
    in
    failure (
      {
        what = "the ${field} of ${declared} is ${quote name}, a ${noun} that this configuration does not declare";
      }
      // (
        if services == [ ] then
          {
            because = "if nothing else makes the ${noun} either, the file cannot be given to it, and its unit fails";
            fix = "correct the name, or declare it: ${option}.${escapeNixIdentifier name} = { … }";
          }
        else
          {
            because = "systemd makes the ${noun} of ${quote "${service}.service"} only while that runs (DynamicUser), so the file cannot be given to it, and its unit fails";
            fix = "leave out ${field}, and let systemd pass the file on: systemd.services.${escapeNixIdentifier service}.serviceConfig.LoadCredential = \"NAME:\${config.${(lib.head owned).declaredAs}.path}\"";
          }
      )
    );
in
lib.mapAttrsToList (warning "owner" "user" "users.users") (unknown "owner" users)
++ lib.mapAttrsToList (warning "group" "group" "users.groups") (unknown "group" groups)

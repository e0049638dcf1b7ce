# `vaultix.rules` as it is written → its type, and why it is refused. Twin of src/flake/rules.rs.
{ lib }:
let
  inherit (import ./message.nix) failure quote;
  inherit (import ./private.nix { inherit lib; })
    asText
    isNoText
    isPrivate
    message
    public
    typeMessage
    ;
  inherit (import ./types.nix { inherit lib; }) isBelowFlake readRecipient;

  shape = "{ path = \"secrets/ops/\"; recipients = [ \"age1…\" ]; }";

  # Of a rule, only texts are kept: nothing that a message shows may be a value of another type.
  read = rule: {
    path = asText toString (rule.path or null);
    recipients =
      let
        recipients = rule.recipients or null;
      in
      if builtins.isList recipients then
        map (asText readRecipient) recipients
      else
        [ "<${builtins.typeOf recipients}>" ];
    unknown = lib.subtractLists [
      "path"
      "recipients"
    ] (builtins.attrNames rule);
  };
  noRule = value: {
    path = "<${builtins.typeOf value}>";
    recipients = [ ];
    unknown = [ ];
  };

  refuse =
    { path, recipients, unknown }:
    let
      option =
        if isPrivate path then
          "a rule in vaultix.rules"
        else
          "the rule for ${quote path} in vaultix.rules";
    in
    if isNoText path then
      [ (typeMessage "a rule in vaultix.rules" path "write ${shape}") ]
    else if isPrivate path || lib.any isPrivate (recipients ++ unknown) then
      [ (message option public) ]
    else
      map (text: typeMessage option text "set its recipients to a list of public keys as texts") (
        builtins.filter isNoText recipients
      )
      ++ map (
        name:
        failure {
          what = "cannot use ${option}";
          because = "it has ${quote name}, which is unknown";
          fix = "write ${shape}";
        }
      ) unknown
      ++ lib.optional (!isBelowFlake path) (failure {
        what = "cannot use ${option}";
        because = "its path is not one inside the flake";
        fix = "write it relative to flake.nix, without . and .., and with / at the end of a directory: path = \"secrets/ops/\"";
      });
in
rec {
  # A list of rules.
  type = import ./discreet-list.nix { inherit lib; } {
    name = "rules";
    description = "list of { path, recipients }";
    read = rule: if builtins.isAttrs rule then read rule else noRule rule;
    other = noRule;
  };

  # What the desk reads of a rule.
  setting = rule: { inherit (rule) path recipients; };

  # The path, as the same one is written once.
  inherit (import ./flake-path.nix) plain;

  refusals =
    rules:
    let
      byPath = builtins.groupBy (rule: plain rule.path) (
        builtins.filter (rule: refuse rule == [ ]) rules
      );
      twins = lib.filterAttrs (_: same: builtins.length same > 1) byPath;
    in
    lib.concatMap refuse rules
    ++ map (
      path:
      failure {
        what = "cannot use the rule for ${quote path} in vaultix.rules";
        because = "there is another rule for the same path";
        fix = "make one of them, with the recipients of both";
      }
    ) (builtins.attrNames twins);
}

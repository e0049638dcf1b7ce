# path of a secret's file → the format that its name says before `.age`; null where it says none.
#
# Only builtins. src/structured.rs does the same.
let
  inherit (builtins) elemAt match;
  formats = [
    "json"
    "yaml"
    "toml"
    "env"
    "ini"
  ];
in
{
  inherit formats;

  of =
    file:
    let
      found = match ".*[^/][.](${builtins.concatStringsSep "|" formats}|yml)[.]age" (toString file);
      suffix = elemAt found 0;
    in
    if found == null then
      null
    else if suffix == "yml" then
      "yaml"
    else
      suffix;
}

# templates with `file` → what is wrong with it, as `assertions`.
{
  lib,
  # Has the secrets that a file may name.
  cfg,
  ensure,
  # What a file is called in messages.
  shown,
  # Whose secrets these are.
  who,
  # List of { option, item }.
  templates,
}:
let
  inherit (builtins) concatMap filter;
  inherit (import ./message.nix) list quote;

  filled = import ./template-file.nix { inherit lib cfg; };
  withFile = map (
    entry:
    entry
    // {
      isThere = builtins.pathExists entry.item.file;
      name = shown entry.item.file;
    }
  ) (filter ({ item, ... }: item.file != null) templates);
  texts = map (entry: entry // filled entry.item.file) (filter (entry: entry.isThere) withFile);
  known = "the encodings are ${lib.concatStringsSep ", " (import ./encodings.nix)}";

  whenever =
    test: name: texts:
    concatMap (
      entry:
      lib.optional (test entry) (
        ensure false "cannot use ${entry.option}.${name}" (texts entry).because (texts entry).fix
      )
    );
in
whenever (entry: !entry.isThere) "file" (entry: {
  because = "Nix cannot see ${quote entry.name}; in a flake, it sees only what git tracks";
  fix = "git add it, or correct the path";
}) withFile
++ whenever (entry: entry.item.content != entry.text) "content" (entry: {
  because = "file is also set, to ${quote entry.name}";
  fix = "set only one of the two";
}) texts
++ whenever (entry: entry.unknownIds != [ ]) "file" (entry: {
  because = "${quote entry.name} names ${list entry.unknownIds}, which ${who} does not have in vaultix.secrets";
  fix = "declare them, or correct the ids after @vaultix: in the file; an id that contains @ can only be used in content";
}) texts
++ whenever (entry: entry.unknownEncodings != [ ]) "file" (entry: {
  because = "${quote entry.name} asks for ${list entry.unknownEncodings}; ${known}";
  fix = "write @vaultix.<encoding>:<id>@, or @vaultix:<id>@ for the value as it is";
}) texts

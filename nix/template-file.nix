# file with `@vaultix:<id>@` and `@vaultix.<encoding>:<id>@` in it → its text with placeholders, and what names nothing.
{ lib, cfg }:
let
  inherit (builtins)
    concatStringsSep
    elem
    elemAt
    filter
    isList
    split
    ;

  encodings = import ./encodings.nix;

  isKnown = { id, ... }: cfg.secrets ? ${id} && cfg.placeholder ? ${id};
  isEncoding = { encoding, ... }: encoding == null || elem encoding encodings;

  placeholder =
    { id, encoding }:
    if encoding == null then cfg.placeholder.${id} else cfg.placeholderAs.${encoding}.${id};

  # Parts of a text: as they are, or lists of what is in a mark.
  parts = split "@vaultix([.]([^:@\n]*))?:([^@\n]*)@";
  markOf = part: {
    encoding = elemAt part 1;
    id = elemAt part 2;
  };
  # What names nothing stays, and fails an assertion.
  filled =
    part:
    if !isList part then
      part
    else
      let
        mark = markOf part;
      in
      if isKnown mark && isEncoding mark then placeholder mark else "@vaultix:${mark.id}@";
in
file:
let
  all = parts (builtins.readFile file);
  marks = map markOf (filter isList all);
  unique = name: test: lib.unique (map (mark: mark.${name}) (filter (mark: !test mark) marks));
in
{
  text = concatStringsSep "" (map filled all);
  unknownIds = unique "id" isKnown;
  unknownEncodings = unique "encoding" isEncoding;
}

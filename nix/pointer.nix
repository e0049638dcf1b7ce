# `key` of a secret → the path of keys that leads to its value, as an RFC 6901 pointer; null where it is none.
#
# Only builtins. src/structured/pointer.rs does the same; tests/vectors/pointer.json holds the cases that both must pass.
let
  inherit (builtins)
    all
    concatStringsSep
    filter
    isList
    isString
    map
    replaceStrings
    split
    substring
    tail
    ;

  escape = replaceStrings [ "~" "/" ] [ "~0" "~1" ];

  # What comes after each tilde.
  afterTildes = text: tail (filter isString (split "~" text));
  isEscape =
    text:
    let
      digit = substring 0 1 text;
    in
    digit == "0" || digit == "1";
in
key:
if isList key then
  if key == [ ] then null else concatStringsSep "" (map (word: "/${escape word}") key)
else if key == "" then
  null
else if substring 0 1 key == "/" then
  if all isEscape (afterTildes key) then key else null
else
  "/${replaceStrings [ "~" ] [ "~0" ] key}"

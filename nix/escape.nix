# id → instance of a unit's name, as systemd-escape(1) prints it, and the name of its unit.
{ lib }:
let
  inherit (builtins)
    elem
    fromJSON
    hashString
    listToAttrs
    stringLength
    substring
    ;
  inherit (lib)
    concatStrings
    fixedWidthString
    imap0
    range
    stringToCharacters
    toHexString
    toLower
    ;

  plain = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.";

  hex = width: number: fixedWidthString width "0" (toLower (toHexString number));

  # Nix cannot convert a byte to its number, but JSON can convert a code point to its UTF-8 bytes.
  fromCode = code: fromJSON ''"\u${hex 4 code}"'';
  byte = at: code: substring at 1 (fromCode code);
  entry = name: number: {
    inherit name;
    value = "\\x${hex 2 number}";
  };
  escapes = listToAttrs (
    map (n: entry (fromCode n) n) (range 1 127)
    # Continuation bytes stand second in U+0080 to U+00BF.
    ++ map (n: entry (byte 1 n) n) (range 128 191)
    # Leading bytes of two, three and four.
    ++ map (n: entry (byte 0 ((n - 192) * 64)) n) (range 194 223)
    ++ map (n: entry (byte 0 (if n == 224 then 2048 else (n - 224) * 4096)) n) (range 224 239)
    ++ imap0 (i: code: entry (substring 0 1 (fromJSON ''"${code}"'')) (240 + i)) [
      ''\ud800\udc00''
      ''\ud8c0\udc00''
      ''\ud9c0\udc00''
      ''\udac0\udc00''
      ''\udbc0\udc00''
    ]
  );

  escape =
    text:
    concatStrings (
      imap0 (
        i: char:
        if char == "/" then
          "-"
        else if elem char plain && !(i == 0 && char == ".") then
          char
        else
          escapes.${char}
      ) (stringToCharacters text)
    );

  # Longest name of a unit that systemd accepts, in bytes.
  maxLength = 255;
in
{
  inherit escape;

  # The unit of an item; `kind` is "secret" or "template". The generator names it by the same rule.
  unit =
    kind: id:
    let
      name = instance: "vaultix-${kind}@${instance}.service";
      full = name (escape id);
    in
    if stringLength full <= maxLength then
      full
    else
      name "sha256-${substring 0 32 (hashString "sha256" id)}";
}

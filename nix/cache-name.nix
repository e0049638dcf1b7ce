# master ciphertext + recipient, and which value of it → name of the host's ciphertext in the cache.
#
# Only builtins, so that every nix and every tool can evaluate it. The desk computes the same name;
# tests/vectors/cache-name.json holds the cases that both must pass.
let
  inherit (builtins)
    elemAt
    filter
    hashFile
    hashString
    head
    isString
    length
    match
    split
    unsafeDiscardStringContext
    ;

  words = text: filter (word: isString word && word != "") (split "[ \t\r\n]+" text);

  # A comment does not decide who can decrypt, so a changed one must not make the cache stale.
  withoutComment =
    recipient:
    let
      all = words recipient;
    in
    if length all >= 2 && match "(ssh|ecdsa|sk)-.*" (head all) != null then
      "${head all} ${elemAt all 1}"
    else if all == [ ] then
      ""
    else
      head all;
in
{
  inherit withoutComment;

  # `value` is null for the whole file, or has the `pointer` to a value in it and its `format`.
  #
  # Both hashes are taken from text or from a file, never from a file's text: a Nix string cannot hold
  # the NUL bytes of a binary age file.
  name =
    source: recipient: value:
    hashString "sha256" (
      unsafeDiscardStringContext "vaultix-v1\n${hashFile "sha256" source}\n${withoutComment recipient}\n${
        if value == null then "" else "${value.pointer}\n${value.format}\n"
      }"
    );
}

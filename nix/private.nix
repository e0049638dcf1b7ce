# text → whether a private key is in it, or may be: a key that lacks a letter is as private.
#
# Simpler than generator/src/private.rs, which all that the programs print passes through: here nothing is shown that is
# not a public key.
{ lib }:
let
  inherit (builtins) match stringLength;
  inherit (import ./message.nix) fault;

  # A regular expression recurses for each character, and no key is longer.
  longest = 32768;

  # Bech32 has no B, I and O, and 1 once, before the data.
  identity = "(AGE-SECRET-KEY|AGE-SECR|ET-KEY|AGE-PL|UGIN)[A-Z0-9-]*1[02-9AC-HJ-NP-Z]{20}";
  block = "PRIVATE KEY|PUTTY-USER-KEY-FILE|PRIVATE-LINES:|B3BLBNNZAC1RZXKTDJE";
in
rec {
  isPrivate =
    text: stringLength text <= longest && match ".*(${identity}|${block}).*" (lib.toUpper text) != null;

  isTooLong = text: stringLength text > longest;

  # A type that lets private keys pass, so that an assertion may refuse them: a type that does would print them.
  orPrivate =
    type:
    lib.types.either type (lib.types.addCheck lib.types.str isPrivate)
    // {
      inherit (type) description descriptionClass;
    };

  # What is said of the option `option`, which has one.
  message =
    option: fix:
    fault {
      what = "cannot use ${option}";
      because = "it is a private key, or has one in it; it is not shown here, but may be in the Nix store by now";
      inherit fix;
    };

  public = "set it to the public half, and make a new key: age-keygen -y FILE prints that of an identity, ssh-keygen -y -f FILE that of an ssh key";
}

# text → whether it contains a private key, or what may be one: a key that lacks a letter is still private.
#
# Simpler than generator/src/private.rs, which filters everything that the programs print: here, only public keys are
# shown.
{ lib }:
let
  inherit (builtins) match stringLength;
  inherit (import ./message.nix) failure;

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

  # A type that accepts private keys, so that an assertion can refuse them: a type that refuses them would print them.
  orPrivate =
    type:
    lib.types.either type (lib.types.addCheck lib.types.str isPrivate)
    // {
      inherit (type) description descriptionClass;
    };

  # The message about the option `option`, which contains one.
  message =
    option: fix:
    failure {
      what = "cannot use ${option}";
      because = "it is or contains a private key, which is not shown here, but may be in the Nix store now";
      inherit fix;
    };

  public = "set it to the public key, and make a new key pair: age-keygen -y FILE prints the public key of an identity, ssh-keygen -y -f FILE that of an ssh key";
}

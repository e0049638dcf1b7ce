# text → whether it contains a private key, also one that lacks a letter.
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

  # A type that accepts every value, so that an assertion can refuse it: a type that refuses one prints it, and so do
  # definitions that conflict. `read` makes what it stands for out of a text or path.
  anything =
    {
      description,
      read ? toString,
    }:
    lib.mkOptionType {
      name = "anything";
      inherit description;
      descriptionClass = "noun";
      check = _: true;
      merge =
        loc: definitions:
        let
          values = map (definition: asText read definition.value) definitions;
          first = builtins.head values;
        in
        if lib.all (value: value == first) values then
          first
        else
          throw "The option `${lib.showOption loc}' has conflicting definitions, in ${
            lib.concatMapStringsSep " and " (definition: "`${toString definition.file}'") definitions
          }";
    };

  # What is no text is represented by its type, which is no recipient and no path.
  asText =
    read: value: if lib.isStringLike value then read value else "<${builtins.typeOf value}>";

  isNoText = text: match "<[a-z]+>" text != null;

  # The same for an option that may also have values of `type`.
  orPrivate =
    type:
    lib.types.either type (
      lib.types.addCheck (anything { inherit (type) description; }) (
        value: !builtins.isString value || isPrivate value
      )
    )
    // {
      inherit (type) description descriptionClass;
    };

  # The message about the option `option`, whose value is `text` instead.
  typeMessage =
    option: text: fix:
    failure {
      what = "cannot use ${option}";
      because = "it is of type ${lib.removePrefix "<" (lib.removeSuffix ">" text)}, and its value, which may contain a private key, is not shown";
      inherit fix;
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

# types that nixpkgs does not have.
{ lib }:
let
  inherit (lib.types) strMatching;

  # A recipient is a text, or in a file that Nix can see.
  readRecipient =
    key:
    if builtins.isPath key || lib.hasPrefix builtins.storeDir (toString key) then
      builtins.readFile key
    else
      toString key;

  # Neither empty nor "." nor "..".
  component = "([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)";
  isBelowFlake = path: (import ./flake-path.nix).plain path != null;
in
{
  inherit readRecipient;

  absolutePath = strMatching "(/${component})+" // {
    description = "absolute path, as a string, without `.`, `..` and superfluous slashes";
  };

  # It has to stay below the directory it is joined to.
  relativePath = strMatching "${component}(/${component})*" // {
    description = "relative path without `.`, `..` and superfluous slashes";
  };

  # The description is all that a refusal says.
  belowFlake = lib.types.addCheck lib.types.str isBelowFlake // {
    description = "path below the root of the flake, as a string without `..`, such as \"./secrets\"";
  };

  inherit isBelowFlake;

  account = strMatching "[^:[:space:]]+" // {
    description = "name or number of a user or group";
  };

  # Anything: a type that refuses a value prints it, and it may be or contain a private key. An assertion checks it.
  recipient = (import ./private.nix { inherit lib; }).anything {
    description = "ssh public key (ed25519 or rsa) or age recipient (age1…), or a file that contains one";
    read = readRecipient;
  };

  # A file's text ends with a newline, and a key may be followed by a comment.
  isRecipient =
    text:
    builtins.match "[[:space:]]*(ssh-(ed25519|rsa)[ \t]+[A-Za-z0-9+/=]+|age1[0-9a-z]+)([ \t][^\n]*)?[[:space:]]*" text
    != null;

  hash = strMatching "[0-9a-f]{64}";

  placeholder = strMatching "[{][{] [0-9a-f]{64} [}][}]" // {
    description = "placeholder";
  };
}

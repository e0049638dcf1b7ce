# what failed, why, what to do → one message, in the form that the programs use.
let
  quote = text: "\"${text}\"";
in
{
  inherit quote;

  failure =
    {
      what,
      because,
      fix,
    }:
    "vaultix: ${what}\n  because: ${because}\n  to fix:  ${fix}";

  # A list of values, each in quotes.
  list = texts: builtins.concatStringsSep ", " (map quote texts);
}

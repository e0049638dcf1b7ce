# name, description, read, other → a type of lists that prints no value: the error of a type shows the value that it
# refuses, which may be or contain a private key. `read` takes an element, `other` what is in the place of a list, and
# returns an element or a list.
{ lib }:
{
  name,
  description,
  read,
  other,
}:
lib.mkOptionType {
  inherit name description;
  descriptionClass = "composite";
  check = _: true;
  merge =
    _:
    lib.concatMap (
      { value, ... }: if builtins.isList value then map read value else lib.toList (other value)
    );
}

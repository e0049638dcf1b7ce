# the vectors whose pointer comes out otherwise, and names of files whose format does.
let
  pointer = import ../../nix/pointer.nix;
  format = (import ../../nix/format.nix).of;
  vectors = builtins.fromJSON (builtins.readFile ../vectors/pointer.json);
  shown = value: if value == null then "null" else value;
  wrong =
    note: found: expected:
    if found == expected then [ ] else [ "${note}: ${shown found} instead of ${shown expected}\n" ];
  formats = {
    "/a/mail.yaml.age" = "yaml";
    "/a/mail.yml.age" = "yaml";
    "/a.b/mail.x.json.age" = "json";
    "/a/app.env.age" = "env";
    "/a/app.ini.age" = "ini";
    "/a/app.toml.age" = "toml";
    "/a/mail.yaml" = null;
    "/a/mail.age" = null;
    "/a/yaml.age" = null;
    "/a/.yaml.age" = null;
    "/a/mail.YAML.age" = null;
    "/a/mail.yaml.age.age" = null;
    "/a.yaml.age/mail" = null;
  };
in
{
  count = toString (builtins.length vectors);
  wrong = builtins.concatStringsSep "" (
    builtins.concatMap (vector: wrong vector.note (pointer vector.key) vector.pointer) vectors
    ++ builtins.concatMap (file: wrong file (format file) formats.${file}) (builtins.attrNames formats)
  );
}

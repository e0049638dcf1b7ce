# secrets of a host or a home → those that the host gets: no intermediate ones, which only others are generated from.
secrets:
let
  inherit (builtins) attrNames filter;
in
removeAttrs secrets (filter (id: secrets.${id}.intermediary) (attrNames secrets))

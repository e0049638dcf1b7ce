#compdef vaultix
# Made from src/cli.rs by the test in tests/desk/docs.rs.
(( $+functions[_vaultix_names] )) || _vaultix_names() {
  local -a names expl
  names=("${(@f)$(vaultix __complete "$@" -- $vaultix_words 2>/dev/null)}")
  names=(${names:#})
  _wanted names expl name compadd -a - names
}
(( $+functions[_vaultix_files] )) || _vaultix_files() {
  _alternative 'files:file:_files' "names:name: _vaultix_names $*"
}
local context state line
local -a verbs vaultix_words
vaultix_words=(${(Q)words[2,CURRENT-1]})
verbs=(
    'renc:re-encrypt secrets for the hosts that need them'
    'edit:change a secret in your editor, or create a new one'
    'init:create an identity, a first secret, and what a flake needs'
    'generate:create the secrets that have a generator and do not exist yet'
    'rekey:re-encrypt all secrets of the profiles to the current identities and recipients'
    'deploy:put the secrets of this machine in place without systemd, for emergencies'
    'check:check that every host has every secret, without any key'
    'status:show every secret, who can decrypt it, and on which hosts it is ready'
    'explain:show all that is known of one secret, but not its text'
    'view:print a secret'
    'get:print one value of a structured file, or the keys of all'
    'set:change one value of a structured file, or add one'
    'unset:remove one value from a structured file'
    'textconv:print a secret for git diff'
    'recipient:print the recipients of your identities, for others to name'
    'import:import the secrets of an older scheme'
)
_arguments -C \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read a host'\''s profile from this file; repeat for several hosts]:file:_files' \
    '*'{-f,--flake=}'[use the flake in this directory, whoever owns it, also as ".?submodules=1"; by default, the one around the working directory]:directory:_files -/' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '*'{-V,--version}'[print the version]' \
    '1:command:->verb' '*::argument:->rest'
case $state in
verb) _describe command verbs ;;
rest) case $line[1] in
  renc) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read a host'\''s profile from this file; repeat for several hosts]:file:_files' \
    '*'{-i,--identity=}'[decrypt secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'--cache='[directory of the copies for hosts; default secrets/cache]:directory:_files -/' \
    '*'--host='[re-encrypt only for this host; repeat for several]:name: _vaultix_names hosts' \
    '*'--secret='[re-encrypt only this secret; repeat for several]:id: _vaultix_names secrets' \
    '*'--dry-run'[print what would be done, but do nothing]' \
    '*'--no-wait'[fail at once, with 73, if another run is changing the copies, instead of waiting for it]' \
    '*'{-q,--quiet}'[print only failures and a summary]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' ;;
  edit) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read a host'\''s profile from this file, for that list and for ids; repeat for several hosts]:file:_files' \
    '*'{-i,--identity=}'[decrypt secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'{-r,--recipient=}'[also encrypt to this recipient; repeat for several]:recipient: ' \
    '*'{-R,--recipients-file=}'[also encrypt to the recipients in this file, a line for each; repeat for several files]:file:_files' \
    '*'--stdin'[read the new text from standard input, even if it is a terminal]' \
    '*'--from='[read the new text from this file]:file:_files' \
    '*'--as-is'[save the text even if it is not what the file'\''s name says, such as YAML]' \
    '*'--new'[create the file at this path even if no host declares it]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '1:file: _vaultix_files files secrets' ;;
  init) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-i,--identity=}'[the identity'\''s file; default ~/.config/vaultix/identity.txt]:file:_files' \
    '*'--passphrase'[ask for a passphrase, and protect a new identity with it]' \
    '*'--pq'[make a post-quantum identity; hosts need identities of their own then, see docs/host-keys.md]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '1:directory:_files -/' ;;
  generate) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read a host'\''s profile from this file; repeat for several hosts]:file:_files' \
    '*'{-i,--identity=}'[encrypt to the identities in this file, and decrypt dependencies with them; repeat for several files]:file:_files' \
    '*'{-r,--recipient=}'[also encrypt to this recipient; repeat for several]:recipient: ' \
    '*'{-R,--recipients-file=}'[also encrypt to the recipients in this file, a line for each; repeat for several files]:file:_files' \
    '*'--secret='[create only this secret and its dependencies; repeat for several]:id: _vaultix_names secrets' \
    '*'--host='[create only secrets of this host and their dependencies; repeat for several]:name: _vaultix_names hosts' \
    '*'--renew'[also replace secrets that exist, and those that are generated from them]' \
    '*'--dry-run'[print what would be created, but create nothing]' \
    '*'{-q,--quiet}'[print only failures and a summary]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' ;;
  rekey) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read a host'\''s profile from this file; repeat for several hosts]:file:_files' \
    '*'{-i,--identity=}'[decrypt secrets with the identities in this file, and encrypt to them; repeat for several files]:file:_files' \
    '*'--old='[decrypt secrets with the identities in this file, but do not encrypt to them; repeat for several files]:file:_files' \
    '*'{-r,--recipient=}'[also encrypt to this recipient; repeat for several]:recipient: ' \
    '*'{-R,--recipients-file=}'[also encrypt to the recipients in this file, a line for each; repeat for several files]:file:_files' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '*:file: _vaultix_files files' ;;
  deploy) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read this machine'\''s profile from this file]:file:_files' \
    '*'--early'[only the secrets that are needed before users exist]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' ;;
  check) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read a host'\''s profile from this file; repeat for several hosts]:file:_files' \
    '*'--cache='[directory of the copies for hosts; default secrets/cache]:directory:_files -/' \
    '*'--host='[check only what this host has; repeat for several]:name: _vaultix_names hosts' \
    '*'--strict'[fail where a secret is older than its rotate allows, instead of a warning]' \
    '*'--json'[print the problems as JSON]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' ;;
  status) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read a host'\''s profile from this file; repeat for several hosts]:file:_files' \
    '*'--cache='[directory of the copies for hosts; default secrets/cache]:directory:_files -/' \
    '*'--host='[show only the secrets of this host; repeat for several]:name: _vaultix_names hosts' \
    '*'--secret='[show only this secret; repeat for several]:id: _vaultix_names secrets' \
    '*'--json'[print it as JSON]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' ;;
  explain) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[read a host'\''s profile from this file; repeat for several hosts]:file:_files' \
    '*'--cache='[directory of the copies for hosts; default secrets/cache]:directory:_files -/' \
    '*'--json'[print it as JSON]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '1:file: _vaultix_files files secrets' ;;
  view) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-p,--profile=}'[find the id in this profile; repeat for several hosts]:file:_files' \
    '*'{-i,--identity=}'[decrypt secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '1:file: _vaultix_files files secrets' ;;
  get) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-i,--identity=}'[decrypt secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'--format='[read the file as json, yaml, toml, env or ini, whatever its name is]:format:(json yaml toml env ini)' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '1:file: _vaultix_files files' \
    '2:key: _vaultix_names keys' ;;
  set) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-i,--identity=}'[decrypt secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'{-r,--recipient=}'[also encrypt to this recipient; repeat for several]:recipient: ' \
    '*'{-R,--recipients-file=}'[also encrypt to the recipients in this file, a line for each; repeat for several files]:file:_files' \
    '*'--stdin'[read the value from standard input, even if it is a terminal]' \
    '*'--from='[read the value from this file]:file:_files' \
    '*'--format='[read the file as json, yaml, toml, env or ini, whatever its name is]:format:(json yaml toml env ini)' \
    '*'--new'[create the file at this path even if no host declares it]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '1:file: _vaultix_files files' \
    '2:key: _vaultix_names keys' ;;
  unset) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-i,--identity=}'[decrypt secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'{-r,--recipient=}'[also encrypt to this recipient; repeat for several]:recipient: ' \
    '*'{-R,--recipients-file=}'[also encrypt to the recipients in this file, a line for each; repeat for several files]:file:_files' \
    '*'--format='[read the file as json, yaml, toml, env or ini, whatever its name is]:format:(json yaml toml env ini)' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '1:file: _vaultix_files files' \
    '2:key: _vaultix_names keys' ;;
  textconv) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-i,--identity=}'[decrypt secrets with the identities in this file; repeat for several files]:file:_files' \
    '1:file:_files' ;;
  recipient) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-i,--identity=}'[print the recipients of the identities in this file; repeat for several files; by default, those of the flake]:file:_files' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' ;;
  import) _arguments \
    '*'{-h,--help}'[display usage information]' \
    '*'{-i,--identity=}'[decrypt the old files with the identities in this file; repeat for several files]:file:_files' \
    '*'{-r,--recipient=}'[also encrypt to this recipient; repeat for several]:recipient: ' \
    '*'{-R,--recipients-file=}'[also encrypt to the recipients in this file, a line for each; repeat for several files]:file:_files' \
    '*'--into='[directory for the secrets; default secrets]:directory:_files -/' \
    '*'--keep'[keep each YAML or JSON file of sops as one file; its secrets are values in it, by key]' \
    '*'--dry-run'[print what would be created, but create nothing]' \
    '*'{-q,--quiet}'[print only failures and a summary]' \
    '*'{-v,--verbose}'[print each step\: what is read, run, decrypted and created]' \
    '1:scheme:(agenix agenix-rekey sops pass gopass)' \
    '2:file:_files' ;;
  esac ;;
esac

#compdef vaultix
# Made from src/cli.rs by the test of desk/docs.rs.
local context state line
local -a verbs
verbs=(
    'renc:re-encrypt secrets for the hosts that need them'
    'edit:change a secret in your editor, or make a new one'
    'init:make an identity, a first secret, and what a flake needs'
    'generate:make the secrets that have a generator and do not exist yet'
    'rekey:encrypt every secret of the profiles anew, to the present identities and recipients'
    'deploy:put the secrets of this machine in place without systemd, for emergencies'
    'check:tell whether every host has every secret, without any key'
    'status:show every secret, who opens it, and on which hosts it is ready'
    'view:print a secret'
    'textconv:print a secret for git diff'
    'import:bring over the secrets of an older scheme'
)
_arguments -C \
    '*'--help'[display usage information]' \
    '*'{-p,--profile}'[read the profile of a host from this file; repeat for several hosts]:file:_files' \
    '*'{-f,--flake}'[take the flake in this directory, whosever it is; default the one around the working directory]:directory:_files -/' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' \
    '*'--version'[print the version]' \
    '1:command:->verb' '*::argument:->rest'
case $state in
verb) _describe command verbs ;;
rest) case $line[1] in
  renc) _arguments \
    '*'--help'[display usage information]' \
    '*'{-p,--profile}'[read the profile of a host from this file; repeat for several hosts]:file:_files' \
    '*'{-i,--identity}'[open secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'--cache'[where copies for hosts are; default secrets/cache]:directory:_files -/' \
    '*'--host'[re-encrypt for this host only; repeat for several]:name: ' \
    '*'--secret'[re-encrypt this secret only; repeat for several]:id: ' \
    '*'--dry-run'[show what would be done, and do nothing]' \
    '*'{-q,--quiet}'[say only what failed, and the count]' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' ;;
  edit) _arguments \
    '*'--help'[display usage information]' \
    '*'{-p,--profile}'[read the profile of a host from this file, for that list; repeat for several hosts]:file:_files' \
    '*'{-i,--identity}'[open secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'{-r,--recipient}'[encrypt to this recipient, too; repeat for several]:recipient: ' \
    '*'--stdin'[take the new text from standard input, even if that is a terminal]' \
    '*'--from'[take the new text from this file]:file:_files' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' \
    '1:file:_files' ;;
  init) _arguments \
    '*'--help'[display usage information]' \
    '*'{-i,--identity}'[the identity'\''s file; default ~/.config/vaultix/identity.txt]:file:_files' \
    '*'--passphrase'[lock a new identity with a passphrase, which is asked for]' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' \
    '1:directory:_files -/' ;;
  generate) _arguments \
    '*'--help'[display usage information]' \
    '*'{-p,--profile}'[read the profile of a host from this file; repeat for several hosts]:file:_files' \
    '*'{-i,--identity}'[encrypt to the identities in this file, and open with them what secrets are made from; repeat for several files]:file:_files' \
    '*'{-r,--recipient}'[encrypt to this recipient, too; repeat for several]:recipient: ' \
    '*'--secret'[make this secret only, and what it is made from; repeat for several]:id: ' \
    '*'--dry-run'[show what would be made, and make nothing]' \
    '*'{-q,--quiet}'[say only what failed, and the count]' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' ;;
  rekey) _arguments \
    '*'--help'[display usage information]' \
    '*'{-p,--profile}'[read the profile of a host from this file; repeat for several hosts]:file:_files' \
    '*'{-i,--identity}'[open secrets with the identities in this file, and encrypt to them; repeat for several files]:file:_files' \
    '*'--old'[open secrets with the identities in this file, but do not encrypt to them; repeat for several files]:file:_files' \
    '*'{-r,--recipient}'[encrypt to this recipient, too; repeat for several]:recipient: ' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' \
    '*:file:_files' ;;
  deploy) _arguments \
    '*'--help'[display usage information]' \
    '*'{-p,--profile}'[read the profile of this machine from this file]:file:_files' \
    '*'--early'[only what is needed before users exist]' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' ;;
  check) _arguments \
    '*'--help'[display usage information]' \
    '*'{-p,--profile}'[read the profile of a host from this file; repeat for several hosts]:file:_files' \
    '*'--cache'[where copies for hosts are; default secrets/cache]:directory:_files -/' \
    '*'--json'[print what is wrong as JSON]' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' ;;
  status) _arguments \
    '*'--help'[display usage information]' \
    '*'{-p,--profile}'[read the profile of a host from this file; repeat for several hosts]:file:_files' \
    '*'--cache'[where copies for hosts are; default secrets/cache]:directory:_files -/' \
    '*'--json'[print it as JSON]' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' ;;
  view) _arguments \
    '*'--help'[display usage information]' \
    '*'{-i,--identity}'[open secrets with the identities in this file; repeat for several files]:file:_files' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' \
    '1:file:_files' ;;
  textconv) _arguments \
    '*'--help'[display usage information]' \
    '*'{-i,--identity}'[open secrets with the identities in this file; repeat for several files]:file:_files' \
    '1:file:_files' ;;
  import) _arguments \
    '*'--help'[display usage information]' \
    '*'{-i,--identity}'[open the old files with the identities in this file; repeat for several files]:file:_files' \
    '*'{-r,--recipient}'[encrypt to this recipient, too; repeat for several]:recipient: ' \
    '*'--into'[where the secrets go; default secrets]:directory:_files -/' \
    '*'--dry-run'[show what would be made, and make nothing]' \
    '*'{-q,--quiet}'[say only what failed, and the count]' \
    '*'{-v,--verbose}'[tell each step  what is read, run, opened and made]' \
    '1:scheme:(agenix agenix-rekey sops pass gopass)' \
    '2:file:_files' ;;
  esac ;;
esac

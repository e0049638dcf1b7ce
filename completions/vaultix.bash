# Made from src/cli.rs by the test in tests/desk/docs.rs.
_vaultix() {
  local word verb='' words
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  case $before in
    --from | --identity | --old | --profile | --recipients-file | -R | -i | -p) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --cache | --flake | --into | -f) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --host | --secret | --recipient | -r) return ;;
    --format) mapfile -t COMPREPLY < <(compgen -W 'json yaml toml env ini' -- "$current"); return ;;
  esac
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in renc | edit | init | generate | rekey | deploy | check | status | view | get | set | unset | textconv | recipient | import) verb=$word; break ;; esac
  done
  case $verb in
    renc) words='--help -p --profile -i --identity --cache --host --secret --dry-run -q --quiet -v --verbose' ;;
    edit) words='--help -p --profile -i --identity -r --recipient -R --recipients-file --stdin --from --as-is -v --verbose' ;;
    init) words='--help -i --identity --passphrase -v --verbose' ;;
    generate) words='--help -p --profile -i --identity -r --recipient -R --recipients-file --secret --dry-run -q --quiet -v --verbose' ;;
    rekey) words='--help -p --profile -i --identity --old -r --recipient -R --recipients-file -v --verbose' ;;
    deploy) words='--help -p --profile --early -v --verbose' ;;
    check) words='--help -p --profile --cache --json -v --verbose' ;;
    status) words='--help -p --profile --cache --json -v --verbose' ;;
    view) words='--help -p --profile -i --identity -v --verbose' ;;
    get) words='--help -i --identity --format -v --verbose' ;;
    set) words='--help -i --identity -r --recipient -R --recipients-file --stdin --from --format -v --verbose' ;;
    unset) words='--help -i --identity -r --recipient -R --recipients-file --format -v --verbose' ;;
    textconv) words='--help -i --identity' ;;
    recipient) words='--help -i --identity -v --verbose' ;;
    import) words='--help -i --identity -r --recipient -R --recipients-file --into --keep --dry-run -q --quiet -v --verbose' ;;
    *) words='renc edit init generate rekey deploy check status view get set unset textconv recipient import --help -p --profile -f --flake -v --verbose --version' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  case $verb in
    edit) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    init) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    rekey) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    view) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    get) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    set) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    unset) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    textconv) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    import) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -W 'agenix agenix-rekey sops pass gopass' -- "$current") ;;
  esac
}
complete -o filenames -F _vaultix vaultix

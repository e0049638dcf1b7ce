# Made from src/cli.rs by the test in tests/desk/docs.rs.
# _vaultix_names KIND...: adds the names that begin with what is typed. Bash ends a word at : and =, vaultix does not.
_vaultix_names() {
  local name typed=${COMP_LINE:0:COMP_POINT} cut
  typed=${typed##*[[:space:]]}
  [[ $typed == --*=* ]] && typed=${typed#*=}
  cut=$((${#typed} - ${#current}))
  # Only names of files are quoted by bash itself.
  [[ $1 == files ]] || compopt +o filenames 2>/dev/null
  while IFS= read -r name; do
    [[ $name == "$typed"* ]] || continue
    name=${name:cut}
    [[ $1 == files ]] || printf -v name %q "$name"
    COMPREPLY+=("$name")
  done < <(vaultix __complete "$@" -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
}
# _vaultix_place: sets place to the number of the verb's argument at the cursor, from 0.
_vaultix_place() {
  local word before=''
  place=-1
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == = ]] && continue
    case $before in
      --from | --identity | --old | --profile | --recipients-file | -R | -i | -p | --cache | --flake | --into | -f | --host | --secret | --recipient | -r | --format | *:) ;;
      *) case $word in -* | :*) ;; *) ((place += 1)) ;; esac ;;
    esac
    before=$word
  done
  [[ ${COMP_WORDS[COMP_CWORD]} == :* || $before == *: ]] && ((place -= 1))
}
_vaultix() {
  local word verb='' words place
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  [[ $before == = && $COMP_CWORD -gt 2 ]] && before=${COMP_WORDS[COMP_CWORD-2]}
  [[ $current == = ]] && current=''
  [[ $current == : ]] && current=''
  case $before in
    --from | --identity | --old | --profile | --recipients-file | -R | -i | -p) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --cache | --flake | --into | -f) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --host) _vaultix_names hosts; return ;;
    --secret) _vaultix_names secrets; return ;;
    --recipient | -r) return ;;
    --format) mapfile -t COMPREPLY < <(compgen -W 'json yaml toml env ini' -- "$current"); return ;;
  esac
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in renc | edit | init | generate | rekey | deploy | check | status | explain | view | get | set | unset | textconv | recipient | import) verb=$word; break ;; esac
  done
  case $verb in
    renc) words='-h --help -p --profile -i --identity --cache --host --secret --dry-run --no-wait -q --quiet -v --verbose' ;;
    edit) words='-h --help -p --profile -i --identity -r --recipient -R --recipients-file --stdin --from --as-is --new -v --verbose' ;;
    init) words='-h --help -i --identity --passphrase --pq -v --verbose' ;;
    generate) words='-h --help -p --profile -i --identity -r --recipient -R --recipients-file --secret --host --renew --dry-run -q --quiet -v --verbose' ;;
    rekey) words='-h --help -p --profile -i --identity --old -r --recipient -R --recipients-file -v --verbose' ;;
    deploy) words='-h --help -p --profile --early -v --verbose' ;;
    check) words='-h --help -p --profile --cache --host --strict --json -v --verbose' ;;
    status) words='-h --help -p --profile --cache --host --secret --json -v --verbose' ;;
    explain) words='-h --help -p --profile --cache --json -v --verbose' ;;
    view) words='-h --help -p --profile -i --identity -v --verbose' ;;
    get) words='-h --help -i --identity --format -v --verbose' ;;
    set) words='-h --help -i --identity -r --recipient -R --recipients-file --stdin --from --format --new -v --verbose' ;;
    unset) words='-h --help -i --identity -r --recipient -R --recipients-file --format -v --verbose' ;;
    textconv) words='-h --help -i --identity' ;;
    recipient) words='-h --help -i --identity -v --verbose' ;;
    import) words='-h --help -i --identity -r --recipient -R --recipients-file --into --keep --dry-run -q --quiet -v --verbose' ;;
    *) words='renc edit init generate rekey deploy check status explain view get set unset textconv recipient import -h --help -p --profile -f --flake -v --verbose -V --version' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  [[ $current == -* ]] && return
  _vaultix_place
  case $verb.$place in
    edit.0) mapfile -t COMPREPLY < <(compgen -f -- "$current"); _vaultix_names files secrets ;;
    init.0) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    rekey.*) mapfile -t COMPREPLY < <(compgen -f -- "$current"); _vaultix_names files ;;
    explain.0) mapfile -t COMPREPLY < <(compgen -f -- "$current"); _vaultix_names files secrets ;;
    view.0) mapfile -t COMPREPLY < <(compgen -f -- "$current"); _vaultix_names files secrets ;;
    get.0) mapfile -t COMPREPLY < <(compgen -f -- "$current"); _vaultix_names files ;;
    get.1) _vaultix_names keys ;;
    set.0) mapfile -t COMPREPLY < <(compgen -f -- "$current"); _vaultix_names files ;;
    set.1) _vaultix_names keys ;;
    unset.0) mapfile -t COMPREPLY < <(compgen -f -- "$current"); _vaultix_names files ;;
    unset.1) _vaultix_names keys ;;
    textconv.0) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    import.0) mapfile -t COMPREPLY < <(compgen -f -W 'agenix agenix-rekey sops pass gopass' -- "$current") ;;
    import.1) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
  esac
}
complete -o filenames -F _vaultix vaultix

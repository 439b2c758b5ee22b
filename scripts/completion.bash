# Completion of `muster` for bash. Commands and options are those that the program's own help names.

_muster_options() { # _muster_options COMMAND: each long option on a line; one that takes a value is followed by '='
  muster "$1" --help 2>/dev/null |
    sed -n 's/^  \(-[a-z] \[ \)\{0,1\}\(--[a-z0-9-]*\)\( \]\)\{0,1\}\( [^ ]\)\{0,1\}.*/\2\4/p' | sed 's/ .*/=/'
}

# The tags of the directory that the command line names, from the names of its files, that begin with a word.
_muster_tags() { # _muster_tags WORD
  local directory file tag
  for directory in "${COMP_WORDS[@]:2}"; do
    directory=${directory/#\~/$HOME}
    [ -d "$directory" ] || continue
    for file in "$directory"/*.h5; do
      tag=${file##*/}
      tag=${tag%.h5}
      if [ -f "$file" ] && [[ $tag == "$1"* ]]; then printf '%q\n' "$tag"; fi
    done
    return
  done
}

_muster() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} options
  COMPREPLY=()
  if [ "$word" = = ]; then # bash takes --tag=T for three words
    word=
  elif [ "$before" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if [ "$COMP_CWORD" -eq 1 ]; then
    options=$(muster --help 2>/dev/null | sed -n 's/^  muster \([a-z-]*\) .*/\1/p')
    mapfile -t COMPREPLY < <(compgen -W "$options --help --version" -- "$word")
    return
  fi
  options=$(_muster_options "$command")
  if [[ $'\n'$options$'\n' == *$'\n'"$before="$'\n'* ]]; then
    case $before in
      --tag) mapfile -t COMPREPLY < <(_muster_tags "$word") ;;
      --keys) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${options//=/}" -- "$word")
  else
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$word")
    # A command that takes one file as well says PATH. A name that begins with a dot is no checkpoint's.
    if muster "$command" --help 2>/dev/null | head -n 1 | grep -q ' PATH '; then
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -X '!*.h5' -- "$word" | grep -v '^\(.*/\)\{0,1\}\.[^/]*$')
    fi
  fi
}

complete -F _muster muster

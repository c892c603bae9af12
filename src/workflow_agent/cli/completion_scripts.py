"""Scripts that teach shells to complete our command line; all they do is ask the program."""

from __future__ import annotations

__all__ = ["SCRIPTS"]

_BASH = r"""# Completion of workflow-agent for bash: eval "$(workflow-agent completion bash)"
_workflow_agent() {
    local current="${COMP_WORDS[COMP_CWORD]}" line value
    [[ $current == [=:] ]] && current=
    COMPREPLY=()
    while IFS= read -r line; do
        value="${line%%$'\t'*}"
        if [[ $value == :files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$current")
        elif [[ $value == "$current"* ]]; then
            [[ $value == *[=:] ]] && compopt -o nospace 2>/dev/null
            COMPREPLY+=("$value")
        fi
    done < <("${COMP_WORDS[0]}" __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
}
complete -F _workflow_agent workflow-agent
"""
_ZSH = r"""#compdef workflow-agent
# Completion of workflow-agent for zsh: eval "$(workflow-agent completion zsh)" after compinit,
# or this text as a file `_workflow-agent` in a folder of $fpath.
_workflow_agent() {
    local line value meaning typed="${(j: :)${(@q)words[1,CURRENT-1]}} ${PREFIX}"
    local -a plain open plain_shown open_shown
    for line in "${(@f)$("${words[1]}" __complete zsh "$typed" 2>/dev/null)}"; do
        value="${line%%$'\t'*}" meaning="${line#*$'\t'}"
        [[ -z $value ]] && continue
        if [[ $value == :files ]]; then
            _files
        elif [[ $value == *[=:] ]]; then
            open+=("$value") open_shown+=("$value${meaning:+  -- $meaning}")
        else
            plain+=("$value") plain_shown+=("$value${meaning:+  -- $meaning}")
        fi
    done
    (( $#plain )) && compadd -l -d plain_shown -a plain
    (( $#open )) && compadd -l -S '' -d open_shown -a open
}
if [[ $funcstack[1] == _workflow-agent ]]; then
    _workflow_agent "$@"
else
    compdef _workflow_agent workflow-agent
fi
"""
_FISH = r"""# Completion of workflow-agent for fish: workflow-agent completion fish | source
function __workflow_agent_complete
    set -l program (commandline -opc)[1]
    for line in ($program __complete fish (commandline -cp | string collect) 2>/dev/null)
        if string match -q ':files*' -- $line
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c workflow-agent -f -a '(__workflow_agent_complete)'
"""
#: By the name of the shell.
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

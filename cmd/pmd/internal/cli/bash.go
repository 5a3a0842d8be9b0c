package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeBash writes the script for bash 3.2 and later. It splits the line itself:
// bash splits at '=' and ':' too, which port specs are full of.
func writeBash(w io.Writer, cmds []command) error {
	var b strings.Builder
	b.WriteString(`# bash completion for pmd; written by "pmd completion bash"
_pmd() {
    local line="${COMP_LINE:0:COMP_POINT}" cur='' word at='pmd' want='' list='' i
    local -a words
    COMPREPLY=()
    read -ra words <<<"$line"
    if [[ $line != *[[:space:]] ]]; then
        i=$(( ${#words[@]} - 1 ))
        cur="${words[i]}"
        unset "words[i]"
    fi
    for word in "${words[@]:1}"; do
        if [[ -n $want ]]; then want=''; continue; fi
`)
	walk(&b, cmds, "at")
	b.WriteString(`    done
    if [[ -z $want && $cur == --*=* ]]; then
        want="${cur%%=*}"
        cur="${cur#*=}"
    fi
    if [[ -n $want ]]; then
        case "$at $want" in
`)
	for _, c := range cmds {
		for _, f := range c.flags {
			switch {
			case len(f.values) > 0:
				fmt.Fprintf(&b, "        %s) list=%s ;;\n", labels(c.path, f.names), quote(strings.Join(f.values, " ")))
			case f.kind == "file":
				fmt.Fprintf(&b, "        %s) COMPREPLY=( $(compgen -f -- \"$cur\") ); return ;;\n", labels(c.path, f.names))
			case f.kind == "port":
				fmt.Fprintf(&b, "        %s) list=\"%s $(ls /sys/class/net 2>/dev/null)\"; compopt -o nospace 2>/dev/null ;;\n",
					labels(c.path, f.names), strings.Join(portKinds(), " "))
			}
		}
	}
	b.WriteString("        esac\n    else\n        case \"$at\" in\n")
	for _, c := range cmds {
		flags := strings.Join(flagNames(c.flags, false), " ")
		first := strings.Join(texts(slices.Concat(c.subs, c.args)), " ")
		if first == "" {
			first = flags
		}
		fmt.Fprintf(&b, "        %s) list=%s; [[ $cur == -* ]] && list=%s ;;\n", quote(c.path), quote(first), quote(flags))
	}
	b.WriteString(`        esac
    fi
    COMPREPLY=( $(compgen -W "$list" -- "$cur") )
}
complete -F _pmd pmd
`)
	_, err := io.WriteString(w, b.String())
	return err
}

func texts(words []word) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w.text
	}
	return out
}

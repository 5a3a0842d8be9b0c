package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeZsh writes the script for zsh. It works from a file named _pmd in fpath and
// when it is sourced.
func writeZsh(w io.Writer, cmds []command) error {
	var b strings.Builder
	b.WriteString(`#compdef pmd
# zsh completion for pmd; written by "pmd completion zsh"
_pmd() {
    local at='pmd' want='' word cur="${words[CURRENT]}"
    local -a list
    for word in "${(@)words[2,CURRENT-1]}"; do
        if [[ -n $want ]]; then want=''; continue; fi
`)
	walk(&b, cmds, "at")
	b.WriteString(`    done
    if [[ -z $want && $cur == --*=* ]]; then
        want="${cur%%=*}"
        compset -P '*='
    fi
    if [[ -n $want ]]; then
        case "$at $want" in
`)
	for _, c := range cmds {
		for _, f := range c.flags {
			switch {
			case len(f.values) > 0:
				fmt.Fprintf(&b, "        %s) compadd -- %s ;;\n", labels(c.path, f.names), quoteAll(f.values))
			case f.kind == "file":
				fmt.Fprintf(&b, "        %s) _files ;;\n", labels(c.path, f.names))
			case f.kind == "port":
				fmt.Fprintf(&b, "        %s) compadd -S '' -- %s /sys/class/net/*(N:t) ;;\n", labels(c.path, f.names), quoteAll(portKinds()))
			}
		}
	}
	b.WriteString("        esac\n        return\n    fi\n    case \"$at\" in\n")
	for _, c := range cmds {
		var flags []word
		for _, f := range c.flags {
			for _, n := range f.names {
				flags = append(flags, word{n, f.help})
			}
		}
		first := slices.Concat(c.subs, c.args)
		if len(first) == 0 {
			first = flags
		}
		fmt.Fprintf(&b, "    %s)\n        list=(%s)\n        [[ $cur == -* ]] && list=(%s) ;;\n",
			quote(c.path), described(first), described(flags))
	}
	b.WriteString(`    esac
    _describe 'pmd' list
}
if [[ ${funcstack[1]} == _pmd ]]; then
    _pmd "$@"
else
    compdef _pmd pmd
fi
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// described returns words as _describe takes them, "word:what it means".
func described(words []word) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quote(strings.ReplaceAll(w.text, ":", `\:`) + ":" + w.help)
	}
	return strings.Join(out, " ")
}

func quoteAll(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quote(w)
	}
	return strings.Join(out, " ")
}

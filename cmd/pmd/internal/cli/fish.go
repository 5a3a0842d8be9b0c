package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeFish writes the script for fish: one rule for each word that may come, with
// the place it may come at as its condition.
func writeFish(w io.Writer, cmds []command) error {
	var b strings.Builder
	b.WriteString(`# fish completion for pmd; written by "pmd completion fish"
function __pmd_at
    set -l at pmd
    set -l want ''
    set -l tokens (commandline -opc)
    set -e tokens[1]
    for word in $tokens
        if test -n "$want"
            set want ''
            continue
        end
        switch "$at $word"
`)
	for _, c := range cmds[1:] {
		fmt.Fprintf(&b, "            case %s\n                set at \"$at $word\"\n", fishQuote(c.path))
	}
	for _, c := range cmds {
		for _, f := range c.flags {
			if f.takes {
				var alternatives []string
				for _, n := range f.names {
					alternatives = append(alternatives, fishQuote(c.path+" "+n))
				}
				fmt.Fprintf(&b, "            case %s\n                set want $word\n", strings.Join(alternatives, " "))
			}
		}
	}
	b.WriteString("        end\n    end\n    echo $at\nend\n\ncomplete -c pmd -f\n")
	for _, c := range cmds {
		at := fmt.Sprintf(`complete -c pmd -n "test (__pmd_at) = %s"`, fishQuote(c.path))
		for _, s := range slices.Concat(c.subs, c.args) {
			fmt.Fprintf(&b, "%s -a %s -d %s\n", at, fishQuote(s.text), fishQuote(s.help))
		}
		for _, f := range c.flags {
			line := at + " -l " + strings.TrimPrefix(f.names[0], "--")
			for _, n := range f.names[1:] {
				line += " -s " + strings.TrimPrefix(n, "-")
			}
			switch {
			case len(f.values) > 0:
				line += " -x -a " + fishQuote(strings.Join(f.values, " "))
			case f.kind == "file":
				line += " -r -F"
			case f.kind == "port":
				line += fmt.Sprintf(" -x -a %s", fishQuote(strings.Join(portKinds(), " ")+" (path basename /sys/class/net/* 2>/dev/null)"))
			case f.takes:
				line += " -x"
			}
			fmt.Fprintf(&b, "%s -d %s\n", line, fishQuote(f.help))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fishQuote puts s between single quotes, in which fish knows two escapes.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/drivers"
)

// CompletionCmd is pmd completion.
type CompletionCmd struct {
	Shell string `arg:"" enum:"${shells}" help:"Shell: ${enum}."`
}

// Help explains how to install a script.
func (*CompletionCmd) Help() string {
	return "bash: source <(pmd completion bash)\n\n" +
		"zsh: source <(pmd completion zsh), after compinit\n\n" +
		"fish: pmd completion fish | source"
}

// shells are the shells there is a script for, in the order they are listed.
func shells() []struct {
	name  string
	write func(w io.Writer, cmds []command) error
} {
	return []struct {
		name  string
		write func(w io.Writer, cmds []command) error
	}{{"bash", writeBash}, {"zsh", writeZsh}, {"fish", writeFish}}
}

func shellNames() []string {
	var names []string
	for _, s := range shells() {
		names = append(names, s.name)
	}
	return names
}

// Run writes the script. It is made from the grammar that is parsing this command.
func (c *CompletionCmd) Run(a *app.App, k *kong.Kong) error {
	for _, s := range shells() {
		if s.name == c.Shell {
			return s.write(a.Stdout, commands(k.Model.Node))
		}
	}
	return fmt.Errorf("completion: no script for %s", c.Shell) // the grammar's enum has refused it already
}

// command is what completion knows of a command.
type command struct {
	// path is the words that lead to it: "pmd", "pmd forward", ….
	path string
	// subs are the commands below it, args what its arguments may be.
	subs  []word
	args  []word
	flags []flag
}

// word is something to complete to, with what it means.
type word struct{ text, help string }

// flag is a flag of a command.
type flag struct {
	names []string // with dashes
	help  string
	// takes says that a value follows.
	takes bool
	// values are the values that are known; kind is "file" or "port" for those
	// that the shell finds out.
	values []string
	kind   string
}

// commands walks the grammar. Commands come before those below them.
func commands(n *kong.Node) []command {
	c := command{path: n.FullPath()}
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			c.subs = append(c.subs, word{child.Name, child.Help})
		}
	}
	for _, p := range n.Positional {
		for v := range strings.FieldsSeq(p.Tag.Get("words")) {
			c.args = append(c.args, word{v, p.Name})
		}
		if p.Enum != "" {
			for _, v := range p.EnumSlice() {
				c.args = append(c.args, word{v, p.Name})
			}
		}
	}
	for _, level := range n.AllFlags(true) {
		for _, f := range level {
			c.flags = append(c.flags, flagOf(f))
		}
	}
	all := []command{c}
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			all = append(all, commands(child)...)
		}
	}
	return all
}

func flagOf(f *kong.Flag) flag {
	out := flag{names: []string{"--" + f.Name}, help: f.Help, takes: !f.IsBool(), kind: f.Tag.Get("complete")}
	if f.Short != 0 {
		out.names = append(out.names, "-"+string(f.Short))
	}
	if f.Enum != "" {
		out.values = f.EnumSlice()
	}
	return out
}

// quote puts s between single quotes for bash and zsh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// labels returns "path word" for each, as alternatives of a case in bash and zsh.
func labels(path string, words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quote(path + " " + w)
	}
	return strings.Join(out, "|")
}

// flagNames returns the names of flags, all of them or the long ones.
func flagNames(flags []flag, short bool) []string {
	var names []string
	for _, f := range flags {
		names = append(names, f.names[0])
		if short {
			names = append(names, f.names[1:]...)
		}
	}
	return names
}

// walk writes the two cases both bash and zsh need to find out where the cursor is:
// which words lead to a command, and which flags take the next word. where is the
// variable that holds the path.
func walk(b *strings.Builder, cmds []command, where string) {
	fmt.Fprintf(b, "        case \"$%s $word\" in\n", where)
	for _, c := range cmds[1:] {
		fmt.Fprintf(b, "        %s) %s=\"$%s $word\"; continue ;;\n", quote(c.path), where, where)
	}
	for _, c := range cmds {
		for _, f := range c.flags {
			if f.takes {
				fmt.Fprintf(b, "        %s) want=%s; continue ;;\n", labels(c.path, f.names), quote(f.names[0]))
			}
		}
	}
	b.WriteString("        esac\n")
}

// portKinds are the drivers as a port spec begins with them.
func portKinds() []string {
	var out []string
	for _, k := range drivers.Registry().Kinds() {
		out = append(out, k+":")
	}
	return out
}

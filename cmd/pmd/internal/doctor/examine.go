package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"example.org/pmd/cpu"
)

// Options say what to examine.
type Options struct {
	// Interfaces are those that are to be ports, in the order in which they would
	// be connected. None: all that could be are told briefly.
	Interfaces []string
	// Cores are the CPUs to poll on. Default: those pmd would choose.
	Cores cpu.Set
	// Netns is the namespace of the interfaces, as given to [Local], for the words
	// of commands.
	Netns string
}

// Examine looks at everything. An error is a mistake in the options: a CPU that
// cannot be polled on.
func Examine(m Machine, o Options) (*Report, error) {
	e := &examination{m: m, o: o}
	topo, err := m.Topology()
	if err == nil {
		e.topo = topo
	}
	e.kernel()
	e.privileges()
	e.memory()
	e.inspect()
	if err != nil {
		e.add(AreaCPU, "topology", Advice, "CPUs were not looked at: "+err.Error())
	} else if err := e.cpus(); err != nil {
		return nil, err
	}
	e.interfaces()
	e.finish()
	return &e.Report, nil
}

// examination is one under way.
type examination struct {
	Report
	m Machine
	o Options
	// caps are the effective capabilities, all if they cannot be read.
	caps uint64
	// subjects are the interfaces to tell of.
	subjects []subject
	topo     *cpu.Topology // nil if unknown
	// poll are the CPUs that would be polled on, empty if unknown.
	poll cpu.Set
}

// line reads a file of one line. ok is false if there is none to read.
func (e *examination) line(name string) (text string, ok bool) {
	b, err := fs.ReadFile(e.m.Root, name)
	return strings.TrimSpace(string(b)), err == nil
}

// hidden reports whether a file is there and may not be read.
func (e *examination) hidden(name string) bool {
	_, err := fs.ReadFile(e.m.Root, name)
	return errors.Is(err, fs.ErrPermission)
}

// exists reports whether a file is there.
func (e *examination) exists(name string) bool {
	_, err := fs.Stat(e.m.Root, name)
	return err == nil
}

// number reads a file that holds one number.
func (e *examination) number(elem ...string) (n int, ok bool) {
	text, ok := e.line(path.Join(elem...))
	if !ok {
		return 0, false
	}
	_, err := fmt.Sscanf(text, "%d", &n)
	return n, err == nil
}

// inNetns words a command that works from where the user is.
func (e *examination) inNetns(format string, args ...any) string {
	command := fmt.Sprintf(format, args...)
	switch ns := e.o.Netns; {
	case ns == "":
		return command
	case strings.Contains(ns, "/"):
		return "nsenter --net=" + ns + " " + command
	default:
		return "ip netns exec " + ns + " " + command
	}
}

// again is the command to examine the same as root.
func (e *examination) again() string {
	words := append([]string{"sudo", e.m.Executable, "doctor"}, e.o.Interfaces...)
	if e.o.Netns != "" {
		words = append(words, "--netns", e.o.Netns)
	}
	return strings.Join(words, " ")
}

// spec words an interface as a port with these options.
func (e *examination) spec(name string, options ...string) string {
	if e.o.Netns != "" {
		options = append([]string{"netns=" + e.o.Netns}, options...)
	}
	return strings.Join(append([]string{name}, options...), ",")
}

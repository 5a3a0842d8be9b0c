package cli

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"example.org/pmd/cmd/pmd/internal/app"
	"example.org/pmd/cmd/pmd/internal/config"
	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
)

// This file is the one place where the flags of pmd run and the keys of its
// configuration file meet. A key is a flag without its dashes, with the same values:
// a flag that is added to RunCmd is a key at once. What a key can do while pmd runs
// is the flag's tag apply, see the classes below.

// Classes of keys, the tag apply of a flag.
const (
	// applyLive: a running process can change it.
	applyLive = "live"
	// applyProcess: it is about the process and not about what it forwards. Where
	// a file does not name it, it stays as it is, and it is part of no comparison.
	applyProcess = "process"
	// applyRestart, also for a flag without the tag: it needs a restart.
	applyRestart = "restart"
)

// portKey is the key of ports, whose values may be tables.
const portKey = config.Port

// coreKey is the key of how cores poll, whose values may be tables.
const coreKey = config.Core

// The key of what interfaces are is ifKey, that of its tables interfaceKey.
const (
	ifKey        = "if"
	interfaceKey = config.Interface
)

// notInFile are the flags of pmd run that say where the file is, or end the parser.
func notInFile(name string) bool { return name == "config" || name == "help" }

// sheet is a RunCmd and a handle on each field by the name of its flag.
type sheet struct {
	cmd   *RunCmd
	flags map[string]*kong.Flag
	names []string // in the order of the grammar
	// named are the keys that a file had.
	named map[string]bool
}

// newSheet returns a sheet with every flag at its default.
func newSheet() (*sheet, error) {
	root := &Root{}
	k, err := newParser(root, &app.App{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		return nil, fmt.Errorf("command line grammar: %w", err)
	}
	ctx, err := k.Parse([]string{"run"})
	if err != nil {
		return nil, fmt.Errorf("command line grammar: %w", err)
	}
	s := &sheet{cmd: &root.Run, flags: map[string]*kong.Flag{}, named: map[string]bool{}}
	for _, f := range ctx.Selected().Flags {
		if !notInFile(f.Name) {
			s.flags[f.Name] = f
			s.names = append(s.names, f.Name)
		}
	}
	return s, nil
}

// class tells what a running process can do with a key.
func (s *sheet) class(name string) string {
	if c := s.flags[name].Tag.Get("apply"); c != "" {
		return c
	}
	return applyRestart
}

// set gives a flag the value of a file. What is wrong with the value is told
// without the key.
func (s *sheet) set(name string, v config.Value) []config.Mistake {
	f := s.flags[name]
	wrong := func(v config.Value, format string, args ...any) []config.Mistake {
		return []config.Mistake{{Line: v.Line, Key: name, Text: fmt.Sprintf(format, args...)}}
	}
	if f.Target.Kind() == reflect.Slice {
		items := v.Items
		if v.Kind != config.List {
			return wrong(v, "is %s: write a list of strings, as in %s = [\"…\"]", v.Kind, name)
		}
		var texts []string
		var ms []config.Mistake
		for _, item := range items {
			if item.Kind != config.String {
				ms = append(ms, wrong(item, "%s is %s: write a list of strings", item.Text, item.Kind)...)
				continue
			}
			texts = append(texts, item.Text)
		}
		if len(texts) > 0 {
			f.Target.Set(reflect.ValueOf(texts))
		}
		return ms
	}
	want := config.String
	typ := f.Target.Type()
	if typ.Kind() == reflect.Pointer { // nil if it was not given
		typ = typ.Elem()
	}
	switch typ.Kind() {
	case reflect.Bool:
		want = config.Bool
	case reflect.Int, reflect.Uint64, reflect.Uint:
		want = config.Integer
	case reflect.Float64:
		want = config.Float
	}
	// A number may stand where words may, as in cores = 2, and a whole one for one
	// with a point.
	if v.Kind != want && (want == config.Integer || want == config.Bool || v.Kind != config.Integer) {
		return wrong(v, "is %s: write %s", v.Kind, example(f, want))
	}
	if err := f.Parse(kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: v.Text}), f.Target); err != nil {
		return wrong(v, "%q: write %s", v.Text, example(f, want))
	}
	if f.Enum != "" && !slices.Contains(f.EnumSlice(), fmt.Sprint(f.Target.Interface())) {
		return wrong(v, "there is no %q; there are %s", v.Text, strings.Join(f.EnumSlice(), ", "))
	}
	return nil
}

// example says how a value is written.
func example(f *kong.Flag, want config.Kind) string {
	if _, ok := f.Target.Interface().(time.Duration); ok {
		return `a time in quotes, as in "30s"`
	}
	if f.HasDefault && want != config.String {
		return fmt.Sprintf("%s, as in %s = %s", want, f.Name, f.Default)
	}
	return string(want)
}

// value returns a flag as a file shows it; ok is false for one that is empty.
func (s *sheet) value(name string) (v config.Value, ok bool) {
	target := s.flags[name].Target
	if target.Kind() == reflect.Pointer {
		if target.IsNil() {
			return v, false
		}
		target = target.Elem()
	}
	switch x := target.Interface().(type) {
	case bool:
		return config.Value{Kind: config.Bool, Text: strconv.FormatBool(x)}, true
	case int:
		return config.Value{Kind: config.Integer, Text: strconv.Itoa(x)}, true
	case uint64:
		return config.Value{Kind: config.Integer, Text: strconv.FormatUint(x, 10)}, true
	case float64:
		text := strconv.FormatFloat(x, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return config.Value{Kind: config.Float, Text: text}, true
	case []string:
		v := config.Value{Kind: config.List}
		for _, item := range x {
			v.Items = append(v.Items, config.Text(item))
		}
		return v, len(x) > 0
	case time.Duration:
		return config.Text(x.String()), x != 0
	default:
		text := fmt.Sprint(x)
		return config.Text(text), text != ""
	}
}

// document returns the whole sheet as a file.
func (s *sheet) document() (*config.Document, error) {
	doc := &config.Document{}
	for _, name := range s.names {
		if v, ok := s.value(name); ok && !slices.Contains([]string{portKey, coreKey, ifKey}, name) {
			doc.Entries = append(doc.Entries, config.Entry{Key: name, Value: v})
		}
	}
	for _, text := range s.cmd.Port {
		spec, err := pmd.ParseSpec(text)
		if err != nil {
			return nil, err
		}
		doc.Ports = append(doc.Ports, portTable(spec))
	}
	for _, text := range s.cmd.If {
		if _, err := parseIf(text); err != nil {
			return nil, err
		}
		doc.Interfaces = append(doc.Interfaces, ifTable(text))
	}
	for _, text := range s.cmd.Core {
		if _, err := parseCore(text); err != nil {
			return nil, err
		}
		doc.Cores = append(doc.Cores, coreTable(text))
	}
	return doc, nil
}

// portTable returns a port's spec as a table.
func portTable(spec pmd.Spec) (t config.Table) {
	add := func(key, value string) {
		if value != "" {
			t.Entries = append(t.Entries, config.Entry{Key: key, Value: config.Text(value)})
		}
	}
	if spec.Driver != pmd.DefaultDriver {
		add("driver", spec.Driver)
	}
	add("interface", spec.Interface)
	if spec.Name != spec.Interface {
		add("name", spec.Name)
	}
	add("pollcpu", spec.PollCPU)
	for _, key := range sortedKeys(spec.Options) {
		t.Entries = append(t.Entries, config.Entry{Key: key, Value: config.Option(spec.Options[key])})
	}
	return t
}

// coreTable returns the value of --core as a table.
func coreTable(text string) (t config.Table) {
	for i, item := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(item, "=")
		if i == 0 {
			key, value = "cpu", item
		}
		t.Entries = append(t.Entries, config.Entry{Key: key, Value: config.Option(value)})
	}
	return t
}

// coreTables reads tables into a list as the flag takes it, with the line of each.
func (r *reader) coreTables(tables []config.Table) config.Entry {
	e := config.Entry{Key: coreKey, Value: config.Value{Kind: config.List}}
	keys := append([]string{"cpu"}, pollKeys()...)
	for _, t := range tables {
		id, items, good := "", []string(nil), true
		for _, k := range t.Entries {
			want := config.Integer
			if k.Key == "idle" {
				want = config.String
			}
			switch {
			case !slices.Contains(keys, k.Key):
				r.wrong(k.Value.Line, coreKey+"."+k.Key, config.Unknown(k.Key, keys))
				good = false
			case k.Value.Kind != want:
				r.wrong(k.Value.Line, coreKey+"."+k.Key, "is "+string(k.Value.Kind)+": write "+string(want))
				good = false
			case want == config.String && !slices.Contains(dataplane.IdlePolicies(), k.Value.Text):
				r.wrong(k.Value.Line, coreKey+"."+k.Key, fmt.Sprintf("there is no %q; there are %s", k.Value.Text, strings.Join(dataplane.IdlePolicies(), ", ")))
				good = false
			case k.Key == "cpu":
				id = k.Value.Text
			default:
				items = append(items, k.Key+"="+k.Value.Text)
			}
		}
		switch {
		case !good:
		case id == "" || len(items) == 0:
			r.wrong(t.Line, coreKey, "a core needs its CPU, as in cpu = 2, and a setting, as in idle = \"spin\"")
		default:
			e.Value.Items = append(e.Value.Items, config.Value{Kind: config.String, Line: t.Line, Text: strings.Join(append([]string{id}, items...), ",")})
		}
	}
	return e
}

// ifTable returns the value of --if as a table.
func ifTable(text string) (t config.Table) {
	for i, item := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(item, "=")
		switch {
		case i == 0:
			t.Entries = append(t.Entries, config.Entry{Key: "name", Value: config.Text(item)})
		case !severalTimes(key):
			v := config.Option(value)
			if key == "lladdr" {
				v = config.Text(value)
			}
			t.Entries = append(t.Entries, config.Entry{Key: key, Value: v})
		default:
			at := slices.IndexFunc(t.Entries, func(e config.Entry) bool { return e.Key == key })
			if at < 0 {
				at = len(t.Entries)
				t.Entries = append(t.Entries, config.Entry{Key: key, Value: config.Value{Kind: config.List}})
			}
			list := &t.Entries[at].Value
			list.Items = append(list.Items, config.Text(value))
		}
	}
	return t
}

// ifKind says what the values of a key are.
func ifKind(key string) config.Kind {
	switch key {
	case "up", "promisc", "allmulti", "polling":
		return config.Bool
	case "mtu", "metric":
		return config.Integer
	case "cap", "addr", "group":
		return config.List
	}
	return config.String
}

// sameAs returns what two items of a list must not have in common: the address or the group of
// a setting that is one.
func sameAs(c engine.InterfaceConfig) string {
	for _, a := range c.Addrs {
		addr, _, _ := strings.Cut(a.Address, "/")
		if ip, err := netip.ParseAddr(addr); err == nil {
			return "address " + ip.String()
		}
	}
	for _, text := range c.Groups {
		if g, err := ifnet.ParseGroup(text); err == nil {
			return "group " + g.String()
		}
	}
	return ""
}

// ifTables reads tables into a list as the flag takes it, with the line of each. Each value is
// checked by itself, so that its mistake is told with its line.
func (r *reader) ifTables(tables []config.Table) config.Entry {
	e := config.Entry{Key: ifKey, Value: config.Value{Kind: config.List}}
	keys := append([]string{"name"}, ifKeys()...)
	for _, t := range tables {
		name, items, good := "", []string(nil), true
		wrong := func(line int, key, text string) {
			r.wrong(line, interfaceKey+"."+key, text)
			good = false
		}
		seen := map[string]bool{}
		add := func(key string, v config.Value) {
			value, _ := v.Option()
			item := key + "=" + value
			if strings.Contains(value, ",") {
				wrong(v.Line, key, fmt.Sprintf("%.60q: cannot hold that", value))
				return
			}
			c, err := parseIf("x," + item)
			if err == nil {
				err = c.Validate()
			}
			if err != nil {
				wrong(v.Line, key, strings.TrimPrefix(plain(err), "x: "+key+": "))
				return
			}
			if id := sameAs(c); id != "" && seen[id] {
				wrong(v.Line, key, id+" is given twice")
			} else {
				seen[id] = true
			}
			items = append(items, item)
		}
		for _, k := range t.Entries {
			switch {
			case !slices.Contains(keys, k.Key):
				wrong(k.Value.Line, k.Key, config.Unknown(k.Key, keys))
			case k.Value.Kind != ifKind(k.Key):
				wrong(k.Value.Line, k.Key, "is "+string(k.Value.Kind)+": write "+string(ifKind(k.Key)))
			case k.Key == "name":
				if name = k.Value.Text; strings.ContainsAny(name, ",=") {
					wrong(k.Value.Line, k.Key, fmt.Sprintf("%.40q: no port has such a name", name))
				}
			case k.Value.Kind != config.List:
				add(k.Key, k.Value)
			default:
				for _, item := range k.Value.Items {
					if item.Kind != config.String {
						wrong(item.Line, k.Key, item.Text+" is "+string(item.Kind)+": write a list of strings")
						continue
					}
					add(k.Key, item)
				}
			}
		}
		switch {
		case !good:
		case name == "" || len(items) == 0:
			r.wrong(t.Line, interfaceKey, `an interface needs the name of its port, as in name = "eth1", and a setting, as in mtu = 9000`)
		default:
			e.Value.Items = append(e.Value.Items, config.Value{Kind: config.String, Line: t.Line, Text: strings.Join(append([]string{name}, items...), ",")})
		}
	}
	return e
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// filePort is a port of a file.
type filePort struct {
	line  int
	lines map[string]int // of the options
	text  string
	spec  pmd.Spec
	good  bool
}

// readPort reads a table.
func readPort(t config.Table) (p filePort, ms []config.Mistake) {
	p.line, p.lines = t.Line, map[string]int{}
	wrong := func(line int, key, format string, args ...any) {
		ms = append(ms, config.Mistake{Line: line, Key: portKey + "." + key, Text: fmt.Sprintf(format, args...)})
	}
	head := map[string]string{"driver": "", "interface": ""}
	var options []string
	for _, e := range t.Entries {
		p.lines[e.Key] = e.Value.Line
		text, ok := e.Value.Option()
		_, first := head[e.Key]
		switch {
		case !ok:
			wrong(e.Value.Line, e.Key, "is %s: write a string, a number, true or false", e.Value.Kind)
		case first && e.Value.Kind != config.String:
			wrong(e.Value.Line, e.Key, "is %s: write a string", e.Value.Kind)
		case first && strings.ContainsAny(text, ",:="):
			wrong(e.Value.Line, e.Key, "%q: options of a port are keys of their own", text)
		case first:
			head[e.Key] = text
		case strings.ContainsAny(e.Key, ",="):
			wrong(e.Value.Line, e.Key, "a key holds neither comma nor equals sign")
		case e.Key != "pollcpu" && strings.Contains(text, ","), strings.Trim(text, "0123456789,-:/ ") != "" && e.Key == "pollcpu":
			wrong(e.Value.Line, e.Key, "%q: cannot hold that", text)
		default:
			options = append(options, e.Key+"="+text)
		}
	}
	if head["driver"] == "" && head["interface"] == "" {
		ms = append(ms, nameless(t)...)
	}
	begin := head["interface"]
	if d := head["driver"]; d != "" {
		begin = d + ":" + begin
	}
	if head["driver"] != "" && head["interface"] == "" {
		p.text = begin + strings.Join(options, ",")
	} else {
		p.text = strings.Join(append([]string{begin}, options...), ",")
	}
	if len(ms) > 0 {
		return p, ms
	}
	spec, err := pmd.ParseSpec(p.text)
	if err != nil {
		wrong(t.Line, "interface", "%s", plain(err))
		return p, ms
	}
	p.spec, p.good = spec, true
	return p, ms
}

// nameless says what is wrong with a port that names neither interface nor driver. Which
// options it may have is not known then, but which nobody has is.
func nameless(t config.Table) (ms []config.Mistake) {
	heads, named := []string{"interface", "driver"}, false
	wrong := func(line int, key, text string) {
		ms = append(ms, config.Mistake{Line: line, Key: portKey + "." + key, Text: text})
	}
	keys := slices.Concat(heads, portOptions())
	for _, e := range t.Entries {
		switch {
		case slices.Contains(heads, e.Key):
			if e.Value.Text == "" && e.Value.Kind == config.String {
				wrong(e.Value.Line, e.Key, "is empty")
			}
			named = true // and wrong
		case slices.Contains(keys, e.Key):
		case config.Nearest(e.Key, heads) != "":
			wrong(e.Value.Line, e.Key, config.Unknown(e.Key, heads))
			named = true
		default:
			wrong(e.Value.Line, e.Key, config.Unknown(e.Key, keys))
		}
	}
	if !named {
		wrong(t.Line, "interface", `a port needs an interface, as in interface = "eth1", or a driver, as in driver = "null"`)
	}
	return ms
}

// portOptions returns the options that any driver has.
func portOptions() (keys []string) {
	reg := drivers.Registry()
	for _, kind := range reg.Kinds() {
		for _, ifname := range []string{"", "x"} { // some need one, others refuse it
			var oe *pmd.OptionError
			err := reg.Check(pmd.Spec{Driver: kind, Name: "x", Interface: ifname, Options: map[string]string{"?": ""}})
			if errors.As(err, &oe) {
				keys = append(keys, oe.Known...)
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// plain returns an error's words without what says where a flag was wrong.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	text = strings.TrimPrefix(text, "run: ")
	text = strings.TrimPrefix(text, "--port: ")
	return strings.TrimPrefix(text, pmd.ErrSpec.Error()+": ")
}

// reader reads a file into a sheet.
type reader struct {
	*sheet
	ports []filePort
	// ifTable says that interfaces are in tables.
	ifTable  bool
	mistakes []config.Mistake
}

func (r *reader) wrong(line int, key, text string) {
	r.mistakes = append(r.mistakes, config.Mistake{Line: line, Key: key, Text: text})
}

// readConfig reads a file. Flags in over go before the file: the keys are their
// names. It returns every mistake it finds, in order of lines; the command is
// to be used if there is none.
func readConfig(data []byte, over map[string]*kong.Flag) (*sheet, []config.Mistake, error) {
	s, err := newSheet()
	if err != nil {
		return nil, nil, err
	}
	doc, mistakes := config.Parse(data)
	r := &reader{sheet: s, mistakes: mistakes}
	r.read(doc, over)
	config.Sort(r.mistakes)
	return s, r.mistakes, nil
}

func (r *reader) read(doc *config.Document, over map[string]*kong.Flag) {
	defaults := *r.cmd
	var good []config.Entry
	for _, e := range doc.Entries {
		if e.Key == portKey {
			r.portList(e.Value)
			continue
		}
		if _, ok := r.flags[e.Key]; !ok {
			r.wrong(e.Value.Line, e.Key, config.Unknown(e.Key, r.names))
			continue
		}
		r.named[e.Key] = true
		if ms := r.set(e.Key, e.Value); len(ms) > 0 {
			r.mistakes = append(r.mistakes, ms...)
			continue
		}
		good = append(good, e)
	}
	if e := r.coreTables(doc.Cores); len(e.Value.Items) > 0 {
		r.set(coreKey, e.Value)
		r.named[coreKey] = true
		good = append(good, e)
	}
	if e := r.ifTables(doc.Interfaces); len(e.Value.Items) > 0 {
		if r.named[ifKey] {
			r.wrong(doc.Interfaces[0].Line, interfaceKey, "there is a key if: write one or the other")
		} else {
			r.set(ifKey, e.Value)
			r.ifTable = true
			r.named[ifKey] = true
			good = append(good, e)
		}
	}
	for _, t := range doc.Ports {
		p, ms := readPort(t)
		r.mistakes = append(r.mistakes, ms...)
		r.ports = append(r.ports, p)
	}
	*r.cmd = defaults
	ports := r.checkPorts()
	if f, ok := over[portKey]; ok {
		ports, _ = f.Target.Interface().([]string)
	} else if len(r.ports) == 0 {
		r.wrong(0, portKey, `there is no port: write [[port]] and interface = "eth1" below it, for each`)
	}
	r.checkValues(good, ports)
	*r.cmd = defaults
	for _, e := range good {
		r.set(e.Key, e.Value)
	}
	for _, p := range r.ports {
		r.cmd.Port = append(r.cmd.Port, p.text)
	}
	for name, f := range over {
		r.flags[name].Target.Set(f.Target)
	}
	if len(r.mistakes) > 0 {
		return
	}
	// What only shows when everything is together.
	if _, err := r.cmd.config(); err != nil {
		r.wrong(0, "", plain(err))
	}
}

// portList reads ports that are given as on the command line.
func (r *reader) portList(v config.Value) {
	if v.Kind != config.List {
		r.wrong(v.Line, portKey, "is "+string(v.Kind)+": write [[port]], or a list of strings")
		return
	}
	for _, item := range v.Items {
		p := filePort{line: item.Line, text: item.Text}
		spec, err := pmd.ParseSpec(item.Text)
		switch {
		case item.Kind != config.String:
			r.wrong(item.Line, portKey, item.Text+" is "+string(item.Kind)+": write a string")
		case err != nil:
			r.wrong(item.Line, portKey, plain(err))
		default:
			p.spec, p.good = spec, true
		}
		r.ports = append(r.ports, p)
	}
}

// try asks what is wrong with a command of these ports and whatever is set.
func (r *reader) try(ports []string) error {
	r.cmd.Port = ports
	_, err := r.cmd.config()
	return err
}

// checkPorts checks one port after the other, and returns their specs, with something
// harmless of the same name for those that are wrong.
func (r *reader) checkPorts() (ports []string) {
	for i := range r.ports {
		p := &r.ports[i]
		if !p.good {
			continue
		}
		text := p.text
		spec := p.spec
		spec.Options = map[string]string{}
		for k, v := range p.spec.Options {
			spec.Options[k] = v
		}
		for {
			err := r.try([]string{text})
			if err == nil {
				break
			}
			p.good = false
			var oe *pmd.OptionError
			if !errors.As(err, &oe) || spec.Options[oe.Key] == "" {
				r.wrong(p.line, portKey, plain(err))
				break
			}
			line := p.lines[oe.Key]
			if line == 0 {
				line = p.line
			}
			r.wrong(line, portKey+"."+oe.Key, oe.Text)
			delete(spec.Options, oe.Key) // and on to the next mistake
			text = spec.String()
		}
		if !p.good {
			text = "null:"
			if p.spec.Name != "" {
				text += "name=" + p.spec.Name
			}
		}
		if err := r.try(append(slices.Clone(ports), text)); err != nil {
			r.wrong(p.line, portKey, plain(err))
			continue
		}
		ports = append(ports, text)
	}
	return ports
}

// checkValues checks each value by itself, with everything else at its default: what
// is wrong then is wrong with that value.
func (r *reader) checkValues(entries []config.Entry, ports []string) {
	lame := len(ports) == 0 // there is nothing to name: references cannot be checked
	if lame {
		ports = []string{"null:"}
	}
	defaults := *r.cmd
	if err := r.try(ports); err != nil {
		return // told already
	}
	check := func(name string, v config.Value) bool {
		*r.cmd = defaults
		r.set(name, v)
		err := r.try(ports)
		if err != nil {
			text := strings.TrimPrefix(plain(err), "--"+name)
			if name == ifKey && r.ifTable {
				name = interfaceKey
			}
			r.wrong(v.Line, name, strings.TrimLeft(text, ": "))
		}
		return err == nil
	}
	for _, e := range entries {
		if e.Value.Kind != config.List {
			check(e.Key, e.Value)
			continue
		}
		if lame {
			continue
		}
		v := e.Value
		v.Items = nil
		for _, item := range e.Value.Items {
			longer := v
			longer.Line, longer.Items = item.Line, append(slices.Clone(v.Items), item)
			if check(e.Key, longer) {
				v = longer
			}
		}
	}
	*r.cmd = defaults
}

// readConfigFile reads a file as a whole, once, so that what is checked is what is
// used, whatever becomes of the file.
func readConfigFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage.Errorf("configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, config.MaxSize+1))
	if err != nil {
		return nil, usage.Errorf("configuration: %w", err)
	}
	if len(data) > config.MaxSize {
		return nil, usage.Errorf("configuration %s: longer than %d bytes", path, config.MaxSize)
	}
	return data, nil
}

// mistakes are what is wrong with a file, each in a line of its own where a person reads it.
type mistakes []string

func (m mistakes) Error() string { return strings.Join(m, "\n") }

// told returns mistakes as one error.
func told(file string, ms []config.Mistake) error {
	lines := make(mistakes, len(ms))
	for i, m := range ms {
		lines[i] = m.String(file)
	}
	return usage.Wrap(lines)
}

// load takes over the file of --config, below the flags that were given, and the
// environment where it names a flag.
func (c *RunCmd) load(k *kong.Context) error {
	if c.Config == "" {
		return nil
	}
	data, err := readConfigFile(c.Config)
	if err != nil {
		return err
	}
	over := map[string]*kong.Flag{}
	for _, f := range k.Selected().Flags {
		if slices.ContainsFunc(k.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == f.Name && !p.Resolved }) ||
			slices.ContainsFunc(f.Envs, func(name string) bool { return os.Getenv(name) != "" }) {
			if !notInFile(f.Name) {
				over[f.Name] = f
			}
		}
	}
	s, mistakes, err := readConfig(data, over)
	if err != nil {
		return err
	}
	if len(mistakes) > 0 {
		return told(c.Config, mistakes)
	}
	path := c.Config
	*c = *s.cmd
	c.Config = path
	return nil
}

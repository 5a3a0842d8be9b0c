package pmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
)

// Spec names a device to open: what stands after --port.
type Spec struct {
	// Driver is the kind of driver; "afxdp" when the spec begins with the name
	// of an interface.
	Driver string
	// Name is the port's name: name= if given, else the interface, else empty.
	Name string
	// Interface is the network interface, empty for drivers without one.
	Interface string
	// PollCPU is what pollcpu= said: the CPUs that poll the queues, queue i the
	// i-th of them, as a list such as "2-5,8". It is for the program that polls
	// the port; drivers never see it. Empty if it was not given.
	PollCPU string
	// Options holds every other key=value.
	Options map[string]string
}

// DefaultDriver serves a spec that names no driver.
const DefaultDriver = "afxdp"

// Limits of a spec, so that a mistake is told as one.
const (
	maxSpecLen = 4096
	maxNameLen = 64
)

// ErrSpec is wrapped by every error about the form of a spec or the value of an
// option: the user's words are at fault, not the machine.
var ErrSpec = errors.New("bad port")

// specError is an ErrSpec with its own words.
func specError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrSpec}, args...)...)
}

// OptionError is an ErrSpec about one option, for those who want to point at it.
type OptionError struct {
	// Key is the option, as written.
	Key string
	// Text says what is wrong with it, without naming the spec.
	Text string
	// Known are the options that the driver has, if Key is none of them.
	Known []string
	spec  Spec
}

// Error names the spec.
func (e *OptionError) Error() string { return fmt.Sprintf("%v: %s: %s", ErrSpec, e.spec, e.Text) }

// Unwrap returns ErrSpec.
func (e *OptionError) Unwrap() error { return ErrSpec }

// Options of every port, whatever its driver: they are for the program.
const (
	optionIface   = "iface"
	optionName    = "name"
	optionPollCPU = "pollcpu"
)

// ParseSpec reads "IFNAME[,key=value…]" or "DRIVER:[IFNAME][,key=value…]". The
// option iface= is another way to say IFNAME. No value but the list of pollcpu=
// may hold a comma. Errors wrap ErrSpec and quote what they mean.
func ParseSpec(s string) (Spec, error) {
	spec := Spec{Driver: DefaultDriver, Options: map[string]string{}}
	if len(s) > maxSpecLen {
		return Spec{}, specError("%q…: longer than %d bytes", s[:32], maxSpecLen)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		return Spec{}, specError("%q: has a control character at byte %d", s, i)
	}
	head, rest, _ := strings.Cut(s, ",")
	if driver, first, ok := strings.Cut(head, ":"); ok && !strings.Contains(driver, "=") {
		spec.Driver = driver
		if driver == "" {
			return Spec{}, specError("%q: no driver before the colon", s)
		}
		rest = s[len(driver)+1:]
		if !strings.Contains(first, "=") && first != "" {
			// afpacket:eth1; and afxdp:eth1 is the long form of eth1.
			spec.Interface = first
			_, rest, _ = strings.Cut(rest, ",")
		}
	} else {
		spec.Interface = head
		if head == "" || strings.Contains(head, "=") {
			return Spec{}, specError("%q: begin with an interface, or with a driver and a colon (eth1,mode=copy or null:size=64)", s)
		}
	}
	if rest != "" {
		list := false // the item before was of pollcpu
		for _, item := range strings.Split(rest, ",") {
			if list && isCPUItem(item) {
				spec.Options[optionPollCPU] += "," + item
				continue
			}
			key, value, ok := strings.Cut(item, "=")
			list = key == optionPollCPU
			if !ok || key == "" {
				return Spec{}, specError("%q: %q is not key=value", s, item)
			}
			if _, dup := spec.Options[key]; dup {
				return Spec{}, specError("%q: %s is given twice", s, key)
			}
			spec.Options[key] = value
		}
	}
	if ifname, ok := spec.Options[optionIface]; ok {
		if spec.Interface != "" {
			return Spec{}, specError("%q: the interface is given twice", s)
		}
		spec.Interface = ifname
		delete(spec.Options, optionIface)
		if ifname == "" {
			return Spec{}, specError("%q: %s is empty", s, optionIface)
		}
	}
	spec.Name = spec.Interface
	for _, o := range []struct {
		key   string
		field *string
	}{{optionName, &spec.Name}, {optionPollCPU, &spec.PollCPU}} {
		if value, ok := spec.Options[o.key]; ok {
			*o.field = value
			delete(spec.Options, o.key)
			if value == "" {
				return Spec{}, specError("%q: %s is empty", s, o.key)
			}
		}
	}
	if err := checkName(spec.Name); err != nil {
		return Spec{}, err
	}
	return spec, checkName(spec.Interface)
}

// isCPUItem reports whether an item between commas goes on with a list of CPUs:
// it has the characters of one and begins with a digit, which no option does.
func isCPUItem(item string) bool {
	return item != "" && item[0] >= '0' && item[0] <= '9' && strings.Trim(item, "0123456789-:/ ") == ""
}

// checkName refuses what would be unreadable in a table or ambiguous in a path.
func checkName(name string) error {
	if len(name) > maxNameLen {
		return specError("name %q…: longer than %d bytes", name[:16], maxNameLen)
	}
	for _, r := range name {
		if r <= ' ' || r > '~' || r == '/' || r == '"' {
			return specError("name %q: has %q", name, r)
		}
	}
	return nil
}

// String returns the spec in the form ParseSpec reads, options in order.
func (s Spec) String() string {
	var b strings.Builder
	sep := ""
	switch {
	case strings.Contains(s.Interface, "="):
		b.WriteString(s.Driver + ":" + optionIface + "=" + s.Interface)
		sep = ","
	case s.Interface != "":
		if s.Driver != DefaultDriver || strings.Contains(s.Interface, ":") {
			b.WriteString(s.Driver + ":")
		}
		b.WriteString(s.Interface)
		sep = ","
	default:
		b.WriteString(s.Driver + ":")
	}
	if s.Name != "" && s.Name != s.Interface {
		b.WriteString(sep + optionName + "=" + s.Name)
		sep = ","
	}
	if s.PollCPU != "" {
		b.WriteString(sep + optionPollCPU + "=" + s.PollCPU)
		sep = ","
	}
	keys := make([]string, 0, len(s.Options))
	for k := range s.Options {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		b.WriteString(sep + k + "=" + s.Options[k])
		sep = ","
	}
	return b.String()
}

// Reader takes a driver's options out of a spec one by one and remembers the
// first mistake, so that a driver reads them in a row and asks once.
type Reader struct {
	spec  Spec
	known []string
	err   error
}

// Read returns a Reader of the spec's options.
func (s Spec) Read() *Reader {
	return &Reader{spec: s, known: []string{optionIface, optionName, optionPollCPU}}
}

// fail remembers the first mistake.
func (r *Reader) fail(key, value, want string) {
	if r.err == nil {
		r.err = &OptionError{Key: key, Text: fmt.Sprintf("%s=%s: use %s", key, value, want), spec: r.spec}
	}
}

// Bad returns the error for the value of an option that the driver reads by itself;
// want says what it should be.
func (r *Reader) Bad(key, value, want string) error {
	r.fail(key, value, want)
	return r.err
}

// take returns the value of key, and whether the spec has it.
func (r *Reader) take(key string) (string, bool) {
	r.known = append(r.known, key)
	v, ok := r.spec.Options[key]
	return v, ok
}

// String returns the option's value, or def.
func (r *Reader) String(key, def string) string {
	if v, ok := r.take(key); ok {
		return v
	}
	return def
}

// OneOf returns the option's value, which must be among choices, or the first of
// them.
func (r *Reader) OneOf(key string, choices ...string) string {
	v, ok := r.take(key)
	if !ok {
		return choices[0]
	}
	if !slices.Contains(choices, v) {
		r.fail(key, v, strings.Join(choices, ", "))
	}
	return v
}

// Int returns the option's value, a decimal from lo to hi, or def.
func (r *Reader) Int(key string, def, lo, hi int) int {
	return r.number(key, def, lo, hi, fmt.Sprintf("a number from %d to %d", lo, hi), func(int) bool { return true })
}

// number is Int for numbers that are also good, which use says in words.
func (r *Reader) number(key string, def, lo, hi int, use string, good func(int) bool) int {
	v, ok := r.take(key)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < lo || n > hi || !good(n) {
		r.fail(key, v, use)
		return def
	}
	return n
}

// PowerOfTwo is Int for a number that must be a power of two.
func (r *Reader) PowerOfTwo(key string, def, lo, hi int) int {
	use := fmt.Sprintf("a power of two from %d to %d", lo, hi)
	return r.number(key, def, lo, hi, use, func(n int) bool { return n&(n-1) == 0 })
}

// FrameSize returns the option's value, a size of a pool's frames, or def.
func (r *Reader) FrameSize(key string, def int) int {
	switch v, ok := r.take(key); {
	case !ok:
	case v == "2048":
		return 2048
	case v == "4096":
		return 4096
	default:
		r.fail(key, v, "2048 or 4096")
	}
	return def
}

// Bool returns the option's value (on/off, true/false, 1/0), or def.
func (r *Reader) Bool(key string, def bool) bool {
	v, ok := r.take(key)
	if !ok {
		return def
	}
	switch v {
	case "on", "true", "1", "yes":
		return true
	case "off", "false", "0", "no":
		return false
	}
	r.fail(key, v, "on or off")
	return def
}

// Done returns the first mistake: a bad value, or an option nobody took.
func (r *Reader) Done() error {
	if r.err != nil {
		return r.err
	}
	for _, key := range slices.Sorted(maps.Keys(r.spec.Options)) {
		if !slices.Contains(r.known, key) {
			sort.Strings(r.known)
			text := fmt.Sprintf("driver %s has no option %q; it has %s", r.spec.Driver, key, strings.Join(r.known, ", "))
			return &OptionError{key, text, r.known, r.spec}
		}
	}
	return nil
}

// Driver opens devices of one kind.
type Driver interface {
	// Kind is the name that specs use.
	Kind() string
	// Open opens the device that spec names. A mistake in the spec is an
	// ErrSpec; anything else is the machine's answer.
	Open(ctx context.Context, spec Spec, env Env) (Device, error)
}

// Prober is implemented by drivers that can tell, before a device is opened, what
// opening it would take. A program asks to choose CPUs and the size of pools.
type Prober interface {
	// Probe changes nothing. An error is one that Open would meet as well.
	Probe(ctx context.Context, spec Spec) (Estimate, error)
}

// Estimate is what a device is going to have.
type Estimate struct {
	// Queues is the number of queues, 1 or more.
	Queues int
	// NUMANode is the node the device is near to, -1 if it does not matter.
	NUMANode int
	// Frames is how many frames all its rings together hold, 0 if that does
	// not matter.
	Frames int
}

// Checker is implemented by drivers that can tell what is wrong with the options of
// a spec without touching the machine.
type Checker interface {
	// Check returns an ErrSpec, an OptionError if it can, or nil. What it lets
	// pass, Open may still refuse.
	Check(spec Spec) error
}

// Registry is the set of drivers that a program offers.
type Registry struct {
	drivers map[string]Driver
}

// NewRegistry returns a registry of these drivers. A kind given twice keeps the
// last, so that a program can replace one.
func NewRegistry(drivers ...Driver) *Registry {
	r := &Registry{drivers: map[string]Driver{}}
	for _, d := range drivers {
		r.drivers[d.Kind()] = d
	}
	return r
}

// Kinds returns the kinds of driver in order.
func (r *Registry) Kinds() []string {
	kinds := make([]string, 0, len(r.drivers))
	for k := range r.drivers {
		kinds = append(kinds, k)
	}
	sort.Strings(kinds)
	return kinds
}

// Open opens the device that spec names, with the driver it names.
func (r *Registry) Open(ctx context.Context, spec Spec, env Env) (Device, error) {
	d, ok := r.drivers[spec.Driver]
	if !ok {
		return nil, specError("%s: no driver %q; there are %s", spec, spec.Driver, strings.Join(r.Kinds(), ", "))
	}
	return d.Open(ctx, spec, env)
}

// Probe tells what the device that spec names is going to have, as far as its
// driver can: one queue and no particular node if it cannot.
func (r *Registry) Probe(ctx context.Context, spec Spec) Estimate {
	if p, ok := r.drivers[spec.Driver].(Prober); ok {
		if e, err := p.Probe(ctx, spec); err == nil {
			return e
		}
	}
	return Estimate{Queues: 1, NUMANode: -1}
}

// Check tells what is wrong with a spec, as far as its driver can without touching
// the machine.
func (r *Registry) Check(spec Spec) error {
	d, ok := r.drivers[spec.Driver]
	if !ok {
		return specError("%s: no driver %q; there are %s", spec, spec.Driver, strings.Join(r.Kinds(), ", "))
	}
	if c, ok := d.(Checker); ok {
		return c.Check(spec)
	}
	return nil
}

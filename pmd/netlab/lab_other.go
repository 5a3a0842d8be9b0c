//go:build !linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
)

// unsupported is what every call returns that cannot return nothing.
func unsupported() error {
	return fmt.Errorf("netlab: network namespaces need Linux, this is %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// readBuffer sets the receive buffer of c.
func readBuffer(c *net.UDPConn, bytes int) error { return c.SetReadBuffer(bytes) }

// Check returns an error that says that Linux is needed.
func Check() error { return unsupported() }

// Throwaway fails: see the package comment.
func Throwaway(func() error) error { return unsupported() }

// Lab exists on Linux only: New never returns one here.
type Lab struct{}

// New returns an error that says that Linux is needed.
func New(prefix string) (*Lab, error) {
	if err := validWord("lab prefix", prefix, maxPrefix); err != nil {
		return nil, fmt.Errorf("netlab: %w", err)
	}
	return nil, unsupported()
}

// Name returns suffix.
func (*Lab) Name(suffix string) string { return suffix }

// Root returns nil.
func (*Lab) Root() *Namespace { return nil }

// Close does nothing.
func (*Lab) Close() error { return nil }

// Namespace returns an error.
func (*Lab) Namespace(string) (*Namespace, error) { return nil, unsupported() }

// Veth returns an error.
func (*Lab) Veth(a, b VethEnd) (*Veth, error) {
	return nil, errors.Join(a.validate("A"), b.validate("B"), agree(&a, &b), unsupported())
}

// Namespace exists on Linux only.
type Namespace struct{}

// Name is empty.
func (*Namespace) Name() string { return "" }

// Path is empty.
func (*Namespace) Path() string { return "" }

// Handle returns nil.
func (*Namespace) Handle() *netlink.Handle { return nil }

// Close does nothing.
func (*Namespace) Close() error { return nil }

// Do returns an error and does not call the function.
func (*Namespace) Do(func() error) error { return unsupported() }

// Listen returns an error.
func (*Namespace) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, unsupported()
}

// ListenPacket returns an error.
func (*Namespace) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, unsupported()
}

// Dial returns an error.
func (*Namespace) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, unsupported()
}

// Start returns an error and starts nothing.
func (*Namespace) Start(*exec.Cmd) (*Process, error) { return nil, unsupported() }

// PassProgram returns an error.
func (*Namespace) PassProgram(string) (*Attachment, error) { return nil, unsupported() }

// RedirectProgram returns an error.
func (*Namespace) RedirectProgram(_, _ string) (*Attachment, error) { return nil, unsupported() }

// Sink returns an error.
func (*Namespace) Sink(string, bool) (*Sink, error) { return nil, unsupported() }

// NewSink returns an error.
func (*Namespace) NewSink(_ string, cfg SinkConfig) (*Sink, error) {
	return nil, errors.Join(cfg.validate(), unsupported())
}

// Generator returns an error.
func (*Namespace) Generator(string, GeneratorConfig) (*Generator, error) {
	return nil, unsupported()
}

// Process exists on Linux only.
type Process struct{}

// Wait returns an error.
func (*Process) Wait(context.Context) error { return unsupported() }

// Close does nothing.
func (*Process) Close() error { return nil }

// Veth exists on Linux only.
type Veth struct{ A, B Interface }

// Close does nothing.
func (*Veth) Close() error { return nil }

// Attachment exists on Linux only.
type Attachment struct{}

// Close does nothing.
func (*Attachment) Close() error { return nil }

// Sink exists on Linux only.
type Sink struct{ Attachment }

// Close does nothing.
func (*Sink) Close() error { return nil }

// Count returns an error.
func (*Sink) Count() (frames, bytes uint64, err error) { return 0, 0, unsupported() }

// Arrivals returns an error.
func (*Sink) Arrivals() (arrivals []Arrival, missed uint64, err error) { return nil, 0, unsupported() }

// Generator exists on Linux only.
type Generator struct{}

// Frames returns an error.
func (*Generator) Frames() (uint64, error) { return 0, unsupported() }

// Run returns an error.
func (*Generator) Run(context.Context, int, uint64) (GeneratorResult, error) {
	return GeneratorResult{}, unsupported()
}

// Start returns an error.
func (*Generator) Start(int) error { return unsupported() }

// Stop returns an error.
func (*Generator) Stop() (GeneratorResult, error) { return GeneratorResult{}, unsupported() }

// Close does nothing.
func (*Generator) Close() error { return nil }

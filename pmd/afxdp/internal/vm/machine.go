package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// NIC is a network card of the guest. Cards of one hub hear each other.
type NIC struct {
	// Model is QEMU's name, and Options what follows it: "iommu_platform=on".
	Model, Options string
	// Hub is the hub's number, from 1.
	Hub int
	// Far is set for the card that plays the peer: the guest tells by the MAC
	// address, see MAC.
	Far bool
	// Taps, if any, are the queues of a tap interface on this machine which plays
	// the hub: the card has as many queues.
	Taps []*os.File
}

// MAC returns the address by which the guest knows the card.
func (n NIC) MAC() string {
	side := 0
	if n.Far {
		side = 1
	}
	return fmt.Sprintf("02:70:6d:64:%02x:%02x", n.Hub, side)
}

// Machine is a guest to boot. Zero is a good value of what says so.
type Machine struct {
	// Name is the first part of the names of its logs.
	Name string
	// QEMU is the program and its first arguments. Default: qemu-system-x86_64.
	QEMU []string
	// Kernel and Initramfs are the files to boot.
	Kernel, Initramfs string
	// NICs are its cards. NewNICs, if not nil, makes new ones for each run.
	NICs    []NIC
	NewNICs func() []NIC
	// Args are the arguments of init, and KernelArgs further ones of the kernel.
	Args, KernelArgs []string
	// CPUs and Memory (MiB) of the guest. Default: 2 and 512.
	CPUs, Memory int
	// Limit bounds one run. Default: 150 s.
	Limit time.Duration
	// Logs is the folder for what the serial ports say: see NewLogs.
	Logs string

	// run runs QEMU until it ends or ctx does. Default: start.
	run func(ctx context.Context, argv []string, files []*os.File) error
}

// Error is a run that did not come to a good end.
type Error struct {
	// Step is how far it got: "QEMU", "boot", "tests", "results".
	Step string
	// Log is the file with all that the guest's console said.
	Log string
	// Err tells what was wrong.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("guest: %s: %v; log: %s", e.Step, e.Err, e.Log) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// attempts is how often a guest is started until it comes to a good end.
const attempts = 2

// Run boots the guest, a second time if the first does not come to a good end, and
// returns its report. first is why there was a second run, if it was the good one.
// Each run has logs of its own, which stay. The error wraps an *Error for each run.
func (m Machine) Run(ctx context.Context) (r *Report, first, err error) {
	var errs []error
	for i := 1; i <= attempts; i++ {
		r, err := m.once(ctx, filepath.Join(m.Logs, fmt.Sprintf("%s-%d", m.Name, i)))
		if err == nil {
			return r, errors.Join(errs...), nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, nil, errors.Join(errs...)
}

func (m *Machine) setDefaults() {
	if len(m.QEMU) == 0 {
		m.QEMU = []string{"qemu-system-x86_64"}
	}
	if m.CPUs == 0 {
		m.CPUs = 2
	}
	if m.Memory == 0 {
		m.Memory = 512
	}
	if m.Limit == 0 {
		m.Limit = 150 * time.Second
	}
	if m.run == nil {
		m.run = start
	}
}

// once is one run, with logs of this name.
func (m Machine) once(ctx context.Context, logs string) (*Report, error) {
	m.setDefaults()
	console, results := logs+".log", logs+".jsonl"
	fail := func(step string, err error) (*Report, error) {
		if diskFull(m.Logs) { // QEMU says nothing of what it could not write
			err = fmt.Errorf("%w (the disk of %s is full)", err, m.Logs)
		}
		return nil, &Error{Step: step, Log: console, Err: err}
	}
	if err := os.MkdirAll(m.Logs, 0o755); err != nil {
		return fail("logs", err)
	}
	for _, f := range []string{console, results} {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			return fail("logs", err)
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, m.Limit, fmt.Errorf("it hangs: ended after %v", m.Limit))
	defer cancel()
	if m.NewNICs != nil {
		m.NICs = m.NewNICs()
	}
	argv, files := m.argv(console, results)
	runErr := m.run(limited, argv, files)
	log, err := os.ReadFile(console)
	if err != nil {
		return fail("logs", err)
	}
	f, err := os.Open(results)
	if err != nil {
		return fail("logs", err)
	}
	defer f.Close()
	r, err := parseReport(f)
	if text := string(log); !r.Ended {
		if line := lineWith(text, "Kernel panic"); line != "" {
			return fail("kernel", errors.New(line))
		}
		step := "boot"
		if r.Release != "" {
			step = "tests"
		}
		switch {
		case limited.Err() != nil:
			return fail(step, context.Cause(limited))
		case runErr != nil:
			return fail("QEMU", runErr)
		case err != nil:
			return fail("results", err)
		}
		return fail(step, fmt.Errorf("it ended without a result%s", lastWords(text, 3)))
	}
	if err != nil {
		return fail("results", err)
	}
	if r.Status != 0 {
		return fail("tests", fmt.Errorf("failed: %s", strings.Join(failures(string(log)), ", ")))
	}
	return r, nil
}

// lineWith returns the first line that has this in it.
func lineWith(text, what string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// firstFile is the number that the first of its files has in a child (os/exec).
const firstFile = 3

// argv is QEMU's command line, and the files it refers to by number.
func (m Machine) argv(console, results string) (argv []string, files []*os.File) {
	argv = append(slices.Clone(m.QEMU), []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none",
		// QEMU 7.2 spoils the flags after a CMPXCHG16B, on which a 6.12 kernel was seen
		// to die early; without the instruction a kernel does as well.
		"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16",
		"-smp", fmt.Sprint(m.CPUs), "-m", fmt.Sprint(m.Memory),
		"-kernel", m.Kernel, "-initrd", m.Initramfs,
		// A kernel that is in trouble ends at once, and with it QEMU. Without IPv6
		// nothing but the tests' own frames is on the wires.
		"-append", strings.Join(slices.Concat(m.KernelArgs, []string{
			"console=ttyS0 loglevel=5 panic=-1 oops=panic net.ifnames=0 ipv6.disable=1 mitigations=off --",
		}, m.Args), " "),
		"-serial", "file:" + console, "-serial", "file:" + results,
	}...)
	for i, n := range m.NICs {
		device := fmt.Sprintf("%s,netdev=n%d,mac=%s", n.Model, i, n.MAC())
		if n.Model == "igb" {
			// A card of several functions wants a port of its own.
			argv = append(argv, "-device", fmt.Sprintf("pcie-root-port,id=p%d,chassis=%d,slot=%d", i, i+1, i+1))
			device += fmt.Sprintf(",bus=p%d", i)
		}
		if n.Options != "" {
			device += "," + n.Options
		}
		netdev := fmt.Sprintf("hubport,id=n%d,hubid=%d", i, n.Hub)
		if len(n.Taps) > 0 {
			var fds []string
			for _, f := range n.Taps {
				fds = append(fds, strconv.Itoa(firstFile+len(files)))
				files = append(files, f)
			}
			netdev = fmt.Sprintf("tap,id=n%d,vhost=off,fds=%s", i, strings.Join(fds, ":"))
		}
		if len(n.Taps) > 1 {
			// An interrupt for each queue each way, one for changes, one for control.
			device += fmt.Sprintf(",mq=on,vectors=%d", 2*len(n.Taps)+2)
		}
		argv = append(argv, "-netdev", netdev, "-device", device)
	}
	return argv, files
}

// start runs QEMU as a child that is ended with ctx, by its own process id.
func start(ctx context.Context, argv []string, files []*os.File) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.ExtraFiles = files
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.WaitDelay = 5 * time.Second
	dieWithParent(cmd)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w%s", filepath.Base(argv[0]), err, lastWords(stderr.String(), 3))
	}
	return nil
}

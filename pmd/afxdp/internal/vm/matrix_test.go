package vm

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	update   = flag.Bool("update", false, "write the table into docs/drivers.md")
	newest   = flag.Bool("newest", false, "take the newest kernels there are, not the pinned ones")
	guestRun = flag.String("guest.run", "", "run only these of the guest's tests, as -test.run does")
)

const document = "../../../../docs/drivers.md"

// setting is what a run needs of the machine.
type setting struct {
	store *Store
	logs  string
	// qemu is what runs the guests, and qemuIgb those with igb, if that is wanted.
	qemu, qemuIgb []string
	// version says which they are.
	version string
}

// skipOrFail ends the test. With CI=true nothing may be skipped.
func skipOrFail(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true, where the guest must run: "+format, args...)
	}
	t.Skipf(format, args...)
}

// newSetting finds out whether guests can be run here.
func newSetting(t *testing.T) setting {
	t.Helper()
	want := os.Getenv("PMD_VM")
	switch {
	case testing.Short():
		t.Skip("-short: no guest is booted")
	case want == "off":
		t.Skip("PMD_VM=off")
	case want == "" && os.Getenv("CI") != "true":
		t.Skip("boots three kernels in QEMU and fetches some 100 MB for it the first time: PMD_VM=on runs it")
	case runtime.GOOS != "linux" || runtime.GOARCH != "amd64":
		skipOrFail(t, "the guests are x86-64's and fetched by Debian's package tools; this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	dir := os.Getenv("PMD_VM_CACHE")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			skipOrFail(t, "no folder for kernels, set PMD_VM_CACHE: %v", err)
		}
		dir = filepath.Join(cache, "pmd-vm")
	}
	s := setting{store: NewStore(dir), qemu: []string{"qemu-system-x86_64"}}
	s.store.Newest = *newest
	if own := os.Getenv("PMD_VM_QEMU"); own != "" {
		s.qemu = []string{own}
	}
	major, version, err := QEMUVersion(t.Context(), s.qemu)
	if err != nil {
		skipOrFail(t, "no QEMU (Debian: qemu-system-x86): %v", err)
	}
	s.version = version
	s.logs, err = NewLogs(filepath.Join(dir, "logs"))
	require.NoError(t, err)
	t.Logf("the guests' consoles: %s", s.logs)
	if os.Getenv("PMD_VM_IGB") != "on" {
		require.False(t, *update, "-update: the table is of igb too: PMD_VM_IGB=on")
		return s
	}
	s.qemuIgb = s.qemu
	if major < 8 {
		s.qemuIgb, err = s.store.QEMU(t.Context())
		require.NoError(t, err, "PMD_VM_IGB=on: igb needs QEMU 8 or later, this is %s", version)
		major, version, err = QEMUVersion(t.Context(), s.qemuIgb)
		require.NoError(t, err)
		require.GreaterOrEqual(t, major, 8)
		s.version += ", that of igb and e1000e with " + version
	}
	return s
}

// virtio is a card whose driver can have zero-copy: without iommu_platform it does
// not use the kernel's DMA interface, which the pools of AF_XDP do.
const virtio = "disable-legacy=on,iommu_platform=on,rx_queue_size=1024"

// cards are those of a machine that tries one model: two ports with their far sides,
// and what else is only looked at.
func cards(model, options string, others ...string) (nics []NIC) {
	for hub := 1; hub <= 2; hub++ {
		nics = append(nics, NIC{Model: model, Options: options, Hub: hub}, NIC{Model: "virtio-net-pci", Hub: hub, Far: true})
	}
	for i, m := range others {
		nics = append(nics, NIC{Model: m, Hub: 3 + i})
	}
	return nics
}

// The driver's tests on each kernel and NIC. It fails if no driver had zero-copy.
func TestMatrix(t *testing.T) {
	s := newSetting(t)
	program, err := BuildGuest(t.Context(), t.TempDir())
	require.NoError(t, err)

	type guest struct {
		name, flavour, run string
		qemu               []string
		limit              time.Duration
		cards              func(*testing.T) []NIC
	}
	guests := []guest{
		{"virtio_net", FlavourCloud, *guestRun, s.qemu, 2 * time.Minute, func(*testing.T) []NIC { return cards("virtio-net-pci", virtio, "vmxnet3") }},
	}
	if *guestRun == "" {
		guests = append(guests, guest{"virtio_net-2-queues", FlavourCloud, "TestForwardQueues", s.qemu, 2 * time.Minute, func(t *testing.T) []NIC {
			return tapCards(t, "virtio-net-pci", virtio, 2)
		}})
	}
	if s.qemuIgb != nil {
		// Its link is down for two seconds after each attach: on a quiet machine of two CPUs
		// the newest kernel takes four and a half minutes.
		guests = append(guests, guest{"igb", FlavourGeneric, *guestRun, s.qemuIgb, 10 * time.Minute, func(*testing.T) []NIC { return cards("igb", "", "e1000e") }})
	}
	var rows []Row
	var runs []Run
	noted, complete := false, true
	for _, series := range AllSeries() {
		for _, g := range guests {
			complete = t.Run(series.Name+"/"+g.name, func(t *testing.T) {
				k, err := s.store.Kernel(t.Context(), series, g.flavour)
				if err != nil {
					complete = false
					skipOrFail(t, "%v", err)
				}
				noted = noted || k.Note != ""
				initramfs, err := k.Initramfs(t.TempDir(), program)
				require.NoError(t, err)
				begin := time.Now()
				r, first, err := Machine{
					Name: k.Release + "-" + g.name, QEMU: g.qemu, Kernel: k.Image, Initramfs: initramfs, NewNICs: func() []NIC { return g.cards(t) },
					Args: []string{"-test.v", fmt.Sprintf("-test.timeout=%v", g.limit), "-test.run=" + g.run}, Logs: s.logs, Limit: g.limit + 30*time.Second,
				}.Run(context.Background())
				require.NoError(t, err)
				if first != nil {
					t.Logf("the first run was not good: %v", first)
				}
				require.Equal(t, k.Release, r.Release, "the kernel that was booted")
				t.Logf("kernel %s, %.0f s%s", k.Release, time.Since(begin).Seconds(), parenthesis(k.Note))
				for _, o := range r.Offers {
					rows = append(rows, Row{k.Release, o})
				}
				for _, run := range r.Runs {
					t.Log(run.String())
					require.NoError(t, run.Err())
				}
				runs = append(runs, r.Runs...)
			}) && complete
		}
	}
	if t.Failed() || !complete {
		return
	}
	if *guestRun == "" {
		require.True(t, slices.ContainsFunc(runs, func(r Run) bool { return r.Mode == "zerocopy" }), "no driver on any kernel forwarded in zero-copy mode")
	}
	if len(rows) > 0 {
		t.Logf("\n%s", Table(rows))
		documented(t, s, rows, noted)
	}
}

func parenthesis(note string) string {
	if note == "" {
		return ""
	}
	return " (" + note + ")"
}

// documented compares the document with what was found, or writes it. On kernels
// other than the pinned ones, or without igb, there is nothing to compare.
func documented(t *testing.T, s setting, rows []Row, noted bool) {
	t.Helper()
	old, err := os.ReadFile(document)
	require.NoError(t, err)
	table := Table(rows)
	if *update {
		text, err := replaceGenerated(string(old), fmt.Sprintf("Tried on %s with QEMU %s:\n\n%s", time.Now().UTC().Format(time.DateOnly), s.version, table))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(document, []byte(text), 0o644))
		return
	}
	if noted || *newest {
		return
	}
	for _, r := range rows {
		want := words(strings.Split(strings.TrimSpace(Table([]Row{r})), "\n")[2])
		if !slices.ContainsFunc(strings.Split(string(old), "\n"), func(line string) bool { return words(line) == want }) {
			t.Errorf("docs/drivers.md differs: run with -update\n%s", want)
		}
	}
}

// words is a line without its blanks' number.
func words(line string) string { return strings.Join(strings.Fields(line), " ") }

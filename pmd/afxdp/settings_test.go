//go:build linux

package afxdp_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/safchain/ethtool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
)

// vlanStrip is a feature that a veth has, and has on.
const vlanStrip = "rx-vlan-hw-parse"

// helperSpec and helperDir make the test binary a process that opens a port and
// waits to be killed.
const (
	helperSpec = "PMD_AFXDP_SPEC"
	helperDir  = "PMD_AFXDP_JOURNAL"
	// helperPowers has it use the port's powers, too.
	helperPowers = "PMD_AFXDP_POWERS"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(helperSpec); text != "" {
		if err := hold(text, os.Getenv(helperDir)); err != nil {
			fmt.Println(err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// hold opens a port, says so, and never returns but with an error.
func hold(text, dir string) error {
	spec, err := pmd.ParseSpec(text)
	if err != nil {
		return err
	}
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	if err != nil {
		return err
	}
	drv := afxdp.NewDriver()
	drv.JournalDir = dir
	dev, err := drv.Open(context.Background(), spec, d.Env())
	if err != nil {
		return err
	}
	if os.Getenv(helperPowers) != "" {
		if err := powers(dev); err != nil {
			return err
		}
	}
	fmt.Println("open")
	select {}
}

// feature reads an ethtool feature of p0.
func feature(t *testing.T, ns *netlab.Namespace, name string) bool {
	t.Helper()
	on := false
	require.NoError(t, ns.Do(func() error {
		e, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer e.Close()
		all, err := e.Features("p0")
		on = all[name]
		return err
	}))
	return on
}

func setFeature(t *testing.T, ns *netlab.Namespace, name string, on bool) {
	t.Helper()
	require.NoError(t, ns.Do(func() error {
		e, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer e.Close()
		return e.Change("p0", map[string]bool{name: on})
	}))
}

// sysfs reads a file of p0 as ip netns exec would show it, after it has written
// the values.
func sysfs(t *testing.T, ns *netlab.Namespace, file string, values ...string) string {
	t.Helper()
	script := "mount -t sysfs sysfs /sys && cd /sys/class/net/p0"
	for _, v := range values {
		script += " && echo " + v + " > " + file
	}
	out, err := exec.Command("nsenter", "--net="+ns.Path(), "unshare", "-m", "sh", "-c", script+" && cat "+file).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

// Features that change frames are off while the port is open and as they were
// afterwards.
func TestOffloadsAreBorrowed(t *testing.T) {
	ns := wideLink(t, 1)
	require.True(t, feature(t, ns, vlanStrip))
	d, dev := openPort(t, ns, "")
	assert.False(t, feature(t, ns, vlanStrip))
	assert.Contains(t, dev.Info().Obtained["settings"], vlanStrip+" off (was on)")
	require.NoError(t, dev.Close())
	assert.True(t, feature(t, ns, vlanStrip))
	require.NoError(t, d.Close())

	d, dev = openPort(t, ns, "offloads=keep")
	assert.True(t, feature(t, ns, vlanStrip))
	assert.NotContains(t, dev.Info().Obtained, "settings")
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())

	// The tags that rx-vlan tells of are those that the NIC takes out.
	d, dev = openPort(t, ns, "rx-vlan=on")
	assert.True(t, feature(t, ns, vlanStrip))
	assert.NotContains(t, dev.Info().Obtained, "settings")
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())

	setFeature(t, ns, vlanStrip, false)
	d, dev = openPort(t, ns, "")
	require.NoError(t, dev.Close())
	assert.False(t, feature(t, ns, vlanStrip), "it was off before")
	require.NoError(t, d.Close())
}

// A port that cannot be opened after all leaves nothing changed.
func TestOffloadsAfterFailure(t *testing.T) {
	ns := wideLink(t, 1)
	require.Error(t, open(t, ns, ",mode=zerocopy"))
	assert.True(t, feature(t, ns, vlanStrip))
}

// After kill -9 the settings are as the port left them, and the next process puts
// them back, whichever port it opens.
func TestKilledProcessIsCleanedUp(t *testing.T) {
	ns := wideLink(t, 1)
	dir := filepath.Join(t.TempDir(), "journal")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperSpec+"=p0,busy-poll=32,netns="+ns.Path(), helperDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "open\n", line)
	require.False(t, feature(t, ns, vlanStrip))
	require.Equal(t, "2", sysfs(t, ns, "napi_defer_hard_irqs"))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.False(t, feature(t, ns, vlanStrip), "nobody has put it back yet")
	require.Len(t, journalFiles(t, dir), 1)

	other := wideLink(t, 1)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	drv := afxdp.NewDriver()
	drv.JournalDir = dir
	spec, err := pmd.ParseSpec("p0,netns=" + other.Path())
	require.NoError(t, err)
	dev, err := drv.Open(t.Context(), spec, d.Env())
	require.NoError(t, err)
	assert.True(t, feature(t, ns, vlanStrip))
	assert.Equal(t, "0", sysfs(t, ns, "napi_defer_hard_irqs"))
	assert.Equal(t, "0", sysfs(t, ns, "gro_flush_timeout"))
	assert.Len(t, journalFiles(t, dir), 1, "that of the port that is open now")
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())
	assert.Empty(t, journalFiles(t, dir))
}

func journalFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	return files
}

// An interface that is deleted takes its settings along; the note goes.
func TestSettingsOfDeletedInterface(t *testing.T) {
	r := newRig(t, 2, "")
	dir := r.journal
	require.Len(t, journalFiles(t, dir), 2)
	require.NoError(t, r.veths[0].Close())
	r.WaitUp(0, false)
	require.Eventually(t, func() bool { return len(journalFiles(t, dir)) == 1 }, 30*time.Second, 5*time.Millisecond)
	r.veths[0] = r.veth(0)
	r.WaitUp(0, true)
	require.Len(t, journalFiles(t, dir), 2, "the new interface is changed again")
	assert.False(t, feature(t, r.ports, vlanStrip))
	r.Stop()
	assert.Empty(t, journalFiles(t, dir))
}

// Busy polling: the sockets have it, the interface defers its interrupts, frames
// flow on all queues, and afterwards all is as before.
func TestBusyPoll(t *testing.T) {
	r := newWideRig(t, 2, 2, "busy-poll=64")
	p := r.Port(0)
	assert.Contains(t, p.Obtained["busy-poll"], "preferred, 20 µs")
	assert.Contains(t, p.Obtained["settings"], "napi_defer_hard_irqs 2 (was 0)")
	assert.Equal(t, "2", sysfs(t, r.ports, "napi_defer_hard_irqs"))
	assert.Equal(t, "200000", sysfs(t, r.ports, "gro_flush_timeout"))
	r.spreads(0, 1)
	assert.Greater(t, r.Port(0).Queues[0].Wakeups, p.Queues[0].Wakeups, "our calls poll")
	r.Balanced()
	// What somebody changes meanwhile is theirs.
	assert.Equal(t, "5", sysfs(t, r.ports, "napi_defer_hard_irqs", "5"))
	r.Stop()
	assert.Equal(t, "5", sysfs(t, r.ports, "napi_defer_hard_irqs"))
	assert.Equal(t, "0", sysfs(t, r.ports, "gro_flush_timeout"))
}

func TestNoNeedWakeup(t *testing.T) {
	r := newWideRig(t, 2, 2, "need-wakeup=off")
	assert.Equal(t, "off", r.Port(0).Obtained["need-wakeup"])
	r.spreads(0, 1)
	r.Balanced()
}

// Ports with and without need_wakeup use one pool and two UMEMs over it.
func TestMixedWakeupsShareAPool(t *testing.T) {
	ns := wideLink(t, 1)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	drv := afxdp.NewDriver()
	drv.JournalDir = t.TempDir()
	var devs []pmd.Device
	for _, text := range []string{"p0,need-wakeup=off", "h0,need-wakeup=on"} {
		spec, err := pmd.ParseSpec(text + ",netns=" + ns.Path())
		require.NoError(t, err)
		dev, err := drv.Open(t.Context(), spec, d.Env())
		require.NoError(t, err)
		devs = append(devs, dev)
	}
	assert.Same(t, devs[0].Queues()[0].Pool(), devs[1].Queues()[0].Pool())
	for _, dev := range devs {
		require.NoError(t, dev.Close())
	}
	require.NoError(t, d.Close())
}

// Each option is shown with what it became.
func TestOptionsObtained(t *testing.T) {
	ns := wideLink(t, 2)
	got := obtained(t, ns, "rx-ring=512,tx-ring=256,fill-ring=1024,comp-ring=4096,frame-size=4096,headroom=192,huge-pages=off,promisc=off").Obtained
	assert.Equal(t, "rx 512, tx 256, fill 1024, comp 4096", got["rings"])
	assert.Equal(t, "4096, headroom 192", got["frame-size"])
	assert.Equal(t, "4k", got["pages"])
	assert.Equal(t, "off", got["promisc"])
	assert.Equal(t, "on", got["need-wakeup"])
	assert.NotContains(t, got, "busy-poll")
	assert.NotContains(t, got, "posted")
	// Two queues of the default size would take half of the pool.
	assert.Contains(t, obtained(t, ns, "fill-ring=8192").Obtained["posted"], "2048 chunks a queue")
	for options, want := range map[string]string{
		",comp-ring=512":            "comp-ring=512: use tx-ring's 2048 or more",
		",queues=0":                 "a number from 1 to 1024",
		",queue=1023,queues=2":      "queues 1023 to 1024",
		",busy-poll=65":             "a number from 0 to 64",
		",headroom=2000":            "a number from 0 to 1024",
		",huge-pages=maybe":         "use auto, on, off",
		",offloads=on":              "use off, keep",
		",frame-size=2048,queues=x": "a number from 1 to 1024",
	} {
		err := open(t, ns, options)
		require.ErrorIs(t, err, pmd.ErrSpec, options)
		require.ErrorContains(t, err, want)
	}
	if b, err := os.ReadFile("/proc/sys/vm/nr_hugepages"); err == nil && strings.TrimSpace(string(b)) == "0" {
		err := open(t, ns, ",huge-pages=on")
		require.ErrorIs(t, err, unix.ENOMEM)
		require.ErrorContains(t, err, "vm.nr_hugepages")
	}
}

// Memory laid out otherwise carries packets as well, every byte of them.
func TestMemoryOptionsForward(t *testing.T) {
	for _, c := range []struct{ options, key, obtained string }{
		{"headroom=256", "frame-size", "2048, headroom 256"},
		{"frame-size=4096,headroom=192,frags=off", "frame-size", "4096, headroom 192"},
		{"frame-size=4096,frags=on,rx-ring=4096,tx-ring=256,fill-ring=4096", "rings", "rx 4096, tx 256, fill 4096, comp 256"},
		{"huge-pages=off", "pages", "4k"},
		{"huge-pages=on", "pages", "huge 2M"},
		{"huge-pages=on,frame-size=4096,headroom=128", "pages", "huge 2M"},
	} {
		t.Run(c.options, func(t *testing.T) {
			if strings.Contains(c.options, "huge-pages=on") {
				// The pool is of 64 MiB at most; what else runs here may take some as well.
				reserveHugePages(t, 192)
			}
			r := newRig(t, 2, c.options)
			require.Contains(t, r.Port(0).Obtained[c.key], c.obtained)
			r.reaches(0, 1)
			for _, size := range []int{18, 700, 1472} {
				r.numbered(0, 1, size)
			}
			r.transfers(0, 1, 1<<20)
			r.Balanced()
		})
	}
}

// reserveHugePages has at least n pages of 2 MiB free for the test.
func reserveHugePages(t *testing.T, n int) {
	t.Helper()
	const file = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	read := func(name string) int {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(file), name))
		if err != nil {
			t.Skip("no pages of 2 MiB: ", err)
		}
		v, err := strconv.Atoi(strings.TrimSpace(string(b)))
		require.NoError(t, err)
		return v
	}
	was := read("nr_hugepages")
	if missing := n - read("free_hugepages"); missing > 0 {
		if err := os.WriteFile(file, []byte(strconv.Itoa(was+missing)), 0); err != nil {
			t.Skip("pages of 2 MiB cannot be reserved: ", err)
		}
		t.Cleanup(func() { require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(was)), 0)) })
	}
	if free := read("free_hugepages"); free < n {
		t.Skipf("the machine has %d free pages of 2 MiB, not %d", free, n)
	}
}

// Headroom is free in front of every received frame.
func TestHeadroom(t *testing.T) {
	ns := wideLink(t, 1)
	d, dev := openPort(t, ns, "headroom=128")
	q := dev.Queues()[0]
	local := mbuf.NewLocal()
	q.Bind(pmd.Binding{Local: local, Port: 0})
	gen, err := ns.Generator("h0", netlab.GeneratorConfig{})
	require.NoError(t, err)
	_, err = gen.Run(t.Context(), -1, 4)
	require.NoError(t, err)
	burst := make([]mbuf.Frame, 8)
	n := 0
	require.Eventually(t, func() bool { n = q.RxBurst(burst); return n > 0 }, 30*time.Second, time.Millisecond)
	for _, f := range burst[:n] {
		assert.EqualValues(t, mbuf.KernelHeadroom+128, f.Addr-q.Pool().Base(f.Addr))
	}
	local.Free(burst[:n])
	q.Unbind()
	local.Drain()
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())
}

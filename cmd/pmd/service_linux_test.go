//go:build linux

package main_test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/service"
	"example.org/pmd/pmd/journal"
	"example.org/pmd/pmd/netlab"
)

const unitFile = "../../packaging/systemd/pmd.service"

// unit reads the settings of the unit file.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(unitFile)
	require.NoError(t, err)
	out := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			out[key] = append(out[key], value)
		}
	}
	return out
}

// effective returns the capabilities that each thread of a process has.
func effective(t *testing.T, pid int) (caps []service.Capabilities) {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // a thread that has ended
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
				n, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
				require.NoError(t, err)
				caps = append(caps, service.Capabilities(n))
			}
		}
	}
	return caps
}

// TestService runs the program with the privileges of the unit file and nothing
// else. It tells its manager that it is ready, forwards, finds an interface again
// that was gone, and says that it ends.
func TestService(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("setpriv is needed to take privileges away: install util-linux")
	}
	b := newBench(t)
	name := filepath.Join(filepath.Dir(b.socket), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	defer manager.Close()
	said := func() string {
		t.Helper()
		buf := make([]byte, 512)
		require.NoError(t, manager.SetReadDeadline(time.Now().Add(patience)))
		n, err := manager.Read(buf)
		require.NoError(t, err, "the manager is told nothing")
		return string(buf[:n])
	}

	bounding := "-all"
	for _, c := range strings.Fields(strings.Join(unit(t)["CapabilityBoundingSet"], " ")) {
		bounding += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	// A small pool, since the limit of pinned memory is this machine's and not the
	// unit's.
	p := command(t, "run", "--port", "p0,fill-ring=512", "--port", "p1,fill-ring=512", "--frames", "2048", "--socket", b.socket, "--duration", longest)
	p.Args = append([]string{setpriv, "--bounding-set", bounding, "--inh-caps", "-all", "--no-new-privs"}, p.Args...)
	p.Path = setpriv
	p.Env = append(os.Environ(), "NOTIFY_SOCKET="+name)
	require.NoError(t, b.ports.Do(func() error { p.start(); return nil }))
	assert.Contains(t, said(), "READY=1")
	b.reaches(hostAddr(1))
	caps := effective(t, p.Process.Pid)
	require.Greater(t, len(caps), 3)
	for _, c := range caps {
		assert.Equal(t, "NET_ADMIN,NET_RAW,BPF", c.String())
	}

	link, err := b.ports.Handle().LinkByName("p1")
	require.NoError(t, err)
	require.NoError(t, b.ports.Handle().LinkDel(link))
	eventually(t, func() bool { return !b.pings(hostAddr(1), 100*time.Millisecond) }, "the interface is gone")
	b.veths[1], err = b.lab.Veth(
		netlab.VethEnd{Namespace: b.hosts[1], Name: "h1", Addrs: []netip.Prefix{netip.PrefixFrom(hostAddr(1), 24)}},
		netlab.VethEnd{Namespace: b.ports, Name: "p1"})
	require.NoError(t, err)
	// Host 0 remembers the address of the host that is gone.
	h0, err := b.hosts[0].Handle().LinkByName("h0")
	require.NoError(t, err)
	require.NoError(t, b.hosts[0].Handle().NeighSet(&netlink.Neigh{
		LinkIndex: h0.Attrs().Index, State: netlink.NUD_PERMANENT, IP: hostAddr(1).AsSlice(), HardwareAddr: b.veths[1].A.MAC,
	}))
	b.reaches(hostAddr(1))

	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, "STOPPING=1", said())
	assert.Zero(t, p.end())
	for _, name := range []string{"p0", "p1"} {
		b.untouched(name)
	}
}

// TestPrivilegesGivenUp: started by root, no thread has more than ports need to be
// opened again.
func TestPrivilegesGivenUp(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has privileges to give up")
	}
	socket := filepath.Join(t.TempDir(), "s")
	p := command(t, "run", "--port", "null:", "--frames", "1024", "--socket", socket, "--duration", longest)
	p.start()
	client := ctl.NewClient(socket)
	defer client.Close()
	eventually(t, func() bool { _, err := client.Interfaces(t.Context()); return err == nil }, "the control socket does not answer")
	eventually(t, func() bool {
		for _, have := range effective(t, p.Process.Pid) {
			if have&^service.Needed(false) != 0 {
				return false
			}
		}
		return true
	}, "a thread keeps more than %v", service.Needed(false))
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Zero(t, p.end())
}

// TestUnitFile: the command lines are ones that the program takes, and systemd has
// nothing to say against the rest.
func TestUnitFile(t *testing.T) {
	u := unit(t)
	assert.Equal(t, []string{"notify"}, u["Type"])
	assert.Equal(t, []string{"yes"}, u["NoNewPrivileges"])
	assert.Contains(t, strings.Fields(u["RestrictAddressFamilies"][0]), "AF_XDP")
	// A directory that went with the service would take the notes of a killed process along
	// (systemd.exec(5), RuntimeDirectoryPreserve=).
	assert.Equal(t, []string{"yes"}, u["RuntimeDirectoryPreserve"])
	if os.Geteuid() == 0 {
		assert.Equal(t, filepath.Join("/run", u["RuntimeDirectory"][0]), filepath.Dir(journal.DefaultDir()))
	}
	config := filepath.Join(t.TempDir(), "pmd.toml")
	require.NoError(t, os.WriteFile(config, []byte("[[port]]\ndriver = \"null\"\n"), 0o600))
	socket := filepath.Join(t.TempDir(), "s")
	fill := strings.NewReplacer("/etc/pmd/pmd.toml", config, "/run/pmd/pmd.sock", socket).Replace
	args := func(key string) []string {
		require.Len(t, u[key], 1)
		return strings.Fields(fill(u[key][0]))[1:]
	}
	p := command(t, args("ExecStart")...)
	p.start()
	eventually(t, func() bool {
		reload := command(t, args("ExecReload")...)
		reload.start()
		return reload.end() == 0
	}, "it does not reload")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Zero(t, p.end())

	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd is not there to read the rest")
	}
	b, err := os.ReadFile(unitFile)
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "pmd.service")
	require.NoError(t, os.WriteFile(copied, []byte(strings.ReplaceAll(string(b), "/usr/local/bin/pmd", binary(t))), 0o600))
	out, err := exec.Command(tool, "verify", copied).CombinedOutput()
	assert.NoError(t, err, string(out))
	assert.Empty(t, string(out))
}

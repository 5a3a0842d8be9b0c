package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
)

// state is what of an interface somebody could have changed.
type state struct {
	facts *afxdp.Facts
	link  netlink.LinkAttrs
	sysfs map[string]string
}

// snapshot reads the state of an interface of this namespace.
func snapshot(t *testing.T, name string) state {
	t.Helper()
	s := state{sysfs: map[string]string{}}
	var err error
	s.facts, err = afxdp.Inspect("", name)
	require.NoError(t, err)
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	s.link = *l.Attrs()
	s.link.Statistics = nil
	top, err := filepath.EvalSymlinks(filepath.Join("/sys/class/net", name))
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && e.Name() == "statistics" {
			return fs.SkipDir
		}
		if e.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err == nil { // some are to be written only
				s.sysfs[path] = string(b)
			}
		}
		return nil
	}))
	require.Greater(t, len(s.sysfs), 20)
	return s
}

func TestThisMachine(t *testing.T) {
	lab := netlabtest.New(t)
	far, err := lab.Namespace("far")
	require.NoError(t, err)
	v, err := lab.Veth(netlab.VethEnd{Queues: 2}, netlab.VethEnd{Namespace: far, Name: "far0", TxOffload: true})
	require.NoError(t, err)
	name := v.A.Name
	before := snapshot(t, name)

	statuses := func(names ...string) (*Report, map[string]Finding) {
		r, err := Examine(Local(""), Options{Interfaces: names})
		require.NoError(t, err)
		found := map[string]Finding{}
		for _, f := range r.Findings {
			if f.Area == AreaInterface && f.Subject == name {
				found[f.Text] = f
			} else if f.Area != AreaInterface {
				found[f.Subject] = f
			}
		}
		return r, found
	}
	r, found := statuses(name)
	var text strings.Builder
	require.NoError(t, r.Write(&text, false))
	t.Log("\n" + text.String())
	assert.Equal(t, OK, found[afxdp.FeatureSocket].Status, "every AF_XDP test needs it")
	assert.Equal(t, OK, found["CAP_NET_ADMIN"].Status)
	assert.Equal(t, OK, found["up, with carrier"].Status)
	assert.Equal(t, OK, found["2 queues of 2, RSS spreads over all"].Status)
	for _, f := range r.Findings {
		if f.Subject == name {
			assert.NotEqual(t, Problem, f.Status, f.Text)
		}
	}
	peer := "peer far0 leaves checksums unfinished: TCP and UDP from there are dropped where they arrive"
	require.Equal(t, Advice, found[peer].Status)
	assert.Equal(t, []string{"ip netns exec " + lab.Name("-far") + " ethtool -K far0 tx off"}, found[peer].Commands)

	assert.Equal(t, before, snapshot(t, name), "it changes nothing")

	// A program of somebody else's.
	pass, err := lab.Root().PassProgram(name)
	require.NoError(t, err)
	r, _ = statuses(name)
	assert.False(t, r.OK)
	assert.True(t, slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Status == Problem && slices.Contains(f.Commands, "ip link set dev "+name+" xdp off")
	}))
	require.NoError(t, pass.Close())

	// Nobody named one: it is among those there are, and lo is not.
	before = snapshot(t, name)
	r, found = statuses()
	assert.Contains(t, found, "veth; up; XDP in the driver, copy mode; 2 queues, MTU 1500")
	assert.False(t, slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Subject == "lo" }))
	assert.Equal(t, before, snapshot(t, name), "it changes nothing")
}

// TestNetns: an interface in a namespace is found there, and commands enter it.
func TestNetns(t *testing.T) {
	lab := netlabtest.New(t)
	here, err := lab.Namespace("here")
	require.NoError(t, err)
	_, err = lab.Veth(netlab.VethEnd{Namespace: here, Name: "a", MTU: 40000}, netlab.VethEnd{Namespace: here, Name: "b", MTU: 40000})
	require.NoError(t, err)
	ns := lab.Name("-here")
	r, err := Examine(Local(ns), Options{Interfaces: []string{"a", "nosuch"}, Netns: ns})
	require.NoError(t, err)
	var commands []string
	for _, f := range r.Findings {
		if f.Status == Problem {
			commands = append(commands, f.Commands...)
		}
	}
	assert.Equal(t, []string{"ip netns exec " + ns + " ip link set dev a mtu 1500", "ip netns exec " + ns + " ip -brief link"}, commands)

	r, err = Examine(Local("nosuchnetns"), Options{Interfaces: []string{"a"}, Netns: "nosuchnetns"})
	require.NoError(t, err)
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Area == AreaInterface })
	require.GreaterOrEqual(t, i, 0)
	assert.Equal(t, Problem, r.Findings[i].Status)
	assert.Equal(t, []string{"ip netns list"}, r.Findings[i].Commands)
}

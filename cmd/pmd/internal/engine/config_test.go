package engine

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/drivers"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// specs parses port specs that must be good.
func specs(t testing.TB, texts ...string) []pmd.Spec {
	t.Helper()
	var out []pmd.Spec
	for _, text := range texts {
		s, err := pmd.ParseSpec(text)
		require.NoError(t, err)
		out = append(out, s)
	}
	return out
}

func TestValidateRefusesMistakes(t *testing.T) {
	two := []string{"null:name=a", "null:name=b"}
	for name, c := range map[string]struct {
		ports  []string
		change func(*Config)
		say    string
	}{
		"no port":            {nil, func(*Config) {}, Example},
		"mode":               {two, func(c *Config) { c.Mode = "fast" }, `no forwarding mode "fast"; there are 5tswap, csum, flowgen, icmpecho, io, mac, macswap, noisy, rxonly, txonly`},
		"burst":              {two, func(c *Config) { c.Burst = 257 }, "use 1 to 256"},
		"negative burst":     {two, func(c *Config) { c.Burst = -1 }, "use 1 to 256"},
		"frames":             {two, func(c *Config) { c.Pool = mbuf.Config{Frames: 3} }, "64 to 4194304"},
		"name twice":         {[]string{"null:name=a", "ring:loop=on,name=a"}, func(*Config) {}, "a is given twice"},
		"driver":             {[]string{"foo:x=1"}, func(*Config) {}, `no driver "foo"; there are afpacket, afxdp, null`},
		"link to nowhere":    {two, func(c *Config) { c.Links = []string{"a:c"} }, `no port "c"; there are 0 (a), 1 (b)`},
		"link without colon": {two, func(c *Config) { c.Links = []string{"ab"} }, "two ports with a colon"},
		"link twice":         {two, func(c *Config) { c.Links = []string{"a:b", "b:b"} }, "connected already"},
		"peer":               {two, func(c *Config) { c.Peers = []string{"a"} }, "a port, a comma and a MAC"},
		"peer's port":        {two, func(c *Config) { c.Peers = []string{"7,02:00:00:00:00:01"} }, `no port "7"`},
		"peer's address":     {two, func(c *Config) { c.Peers = []string{"a,02:00:00:00:00:00:00:01"} }, "is not an Ethernet address"},
		"peer twice":         {two, func(c *Config) { c.Peers = []string{"a,02:00:00:00:00:01", "0,02:00:00:00:00:02"} }, "has a peer already"},
		"both kinds of core": {two, func(c *Config) { c.Unpinned, c.Cores = 1, cpu.SetOf(0) }, "one or the other"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Registry: drivers.Registry(), Ports: specs(t, c.ports...)}
			c.change(&cfg)
			err := cfg.Validate()
			require.Error(t, err)
			assert.True(t, usage.Is(err), "%v", err)
			assert.ErrorContains(t, err, c.say)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestValidateAccepts(t *testing.T) {
	cfg := Config{
		Registry: drivers.Registry(), Ports: specs(t, "null:name=a", "null:name=b", "null:", "eth9"),
		Mode: "mac", Links: []string{"a:null0"}, Peers: []string{"b,02:00:00:00:00:01"}, Burst: 256,
	}
	assert.NoError(t, cfg.Validate())
}

func TestNamePorts(t *testing.T) {
	named, err := namePorts(specs(t, "null:", "null:name=null0", "null:", "ring:loop=on", "eth1"))
	require.NoError(t, err)
	var names []string
	for _, s := range named {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"null1", "null0", "null2", "ring0", "eth1"}, names)
}

func TestPortNumberPrefersNames(t *testing.T) {
	ports := specs(t, "null:name=1", "null:name=b", "null:name=x:y")
	for ref, want := range map[string]dataplane.PortID{"1": 0, "b": 1, "0": 0, "2": 2, "x:y": 2} {
		id, err := portNumber(ports, ref)
		require.NoError(t, err, ref)
		assert.Equal(t, want, id, ref)
	}
	_, err := portNumber(ports, "3")
	assert.ErrorContains(t, err, "there are 0 (1), 1 (b), 2 (x:y)")
}

func TestConnect(t *testing.T) {
	ports := specs(t, "null:name=a", "null:name=b", "null:name=x:y", "null:name=d")
	table, err := connect(ports, []string{"x:y:b"})
	require.NoError(t, err)
	assert.Equal(t, []dataplane.PortID{3, 2, 1, 0}, table, "a colon in a name is no obstacle, and the rest is paired")
}

func TestParsePeers(t *testing.T) {
	ports := specs(t, "null:name=a", "null:name=b")
	macs, err := parsePeers(ports, []string{"1,02:00:00:00:00:09"})
	require.NoError(t, err)
	assert.Equal(t, []net.HardwareAddr{nil, {2, 0, 0, 0, 0, 9}}, macs)
}

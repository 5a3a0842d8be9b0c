package netlab

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestInterfaceNames(t *testing.T) {
	for _, s := range []string{"a", "eth0", "pmd-x.100", "exactly15bytes_"} {
		assert.NoError(t, validIfName(s), s)
	}
	for _, s := range []string{"", ".", "..", "a/b", "a:b", "a b", "a\tb", "veth%d", "a\x00b", "größe", "sixteen-bytes-ab"} {
		assert.ErrorIs(t, validIfName(s), errName, "%q", s)
	}
}

func TestWords(t *testing.T) {
	for _, s := range []string{"a", "A9", "a-b_c"} {
		assert.NoError(t, validWord("name", s, 6), s)
	}
	for _, s := range []string{"", "-a", "_a", "a/b", "..", "a.b", "sevenby", "ä"} {
		assert.ErrorIs(t, validWord("name", s, 6), errName, "%q", s)
	}
}

// Whatever prefix is allowed, the lab's name with a short suffix is the name
// of an interface, and it is part of a path without leaving the folder.
func TestLabNameFitsAnInterface(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringMatching(`[a-zA-Z0-9][a-zA-Z0-9_-]{0,5}`).Draw(t, "prefix")
		require.NoError(t, validWord("prefix", prefix, maxPrefix))
		name := labName(prefix)
		require.NoError(t, validIfName(name+"wxyz"))
		require.True(t, strings.HasPrefix(name, prefix))
	})
}

func TestLabNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		seen[labName("a")] = true
	}
	// Two equal ones among 100 of 33 million: once in 7,000 test runs.
	assert.GreaterOrEqual(t, len(seen), 99)
}

func TestVethEnds(t *testing.T) {
	ok := VethEnd{Name: "a0"}
	require.NoError(t, ok.validate("A"))
	for what, e := range map[string]VethEnd{
		"MTU 67":        {Name: "a0", MTU: 67},
		"MTU 65536":     {Name: "a0", MTU: 65536},
		"MAC":           {Name: "a0", MAC: []byte{1, 2, 3, 4, 5, 6}},
		"is not a unic": {Name: "a0", MAC: []byte{2, 2}},
		"-1 queues":     {Name: "a0", Queues: -1},
		"zero Prefix":   {Name: "a0", Addrs: make([]netip.Prefix, 1)},
		"name":          {Name: "no/slash"},
	} {
		err := e.validate("A")
		assert.ErrorContains(t, err, what)
		assert.NotContains(t, err.Error(), "\n")
	}

	a, b := VethEnd{Name: "a"}, VethEnd{Name: "b", Queues: 4, MTU: 9000}
	require.NoError(t, agree(&a, &b))
	assert.Equal(t, []int{4, 1500, 4, 9000}, []int{a.Queues, a.MTU, b.Queues, b.MTU})
	a.Queues = 3
	assert.ErrorContains(t, agree(&a, &b), "3 queues")
}

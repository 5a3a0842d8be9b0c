package afpacket

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
)

// What options give as a matter of course, a Config with nothing else in it has too.
func TestDefaults(t *testing.T) {
	spec, err := pmd.ParseSpec("afpacket:eth1")
	require.NoError(t, err)
	read, err := configFromSpec(spec)
	require.NoError(t, err)
	made, err := Config{Interface: "eth1"}.withDefaults()
	require.NoError(t, err)
	assert.Equal(t, read, made)
	for _, c := range []Config{
		{}, {Interface: "x", Queues: 65}, {Interface: "x", Queues: -1}, {Interface: "x", Fanout: "lb"}, {Interface: "x", Ring: "v1"},
		{Interface: "x", RxRing: 100}, {Interface: "x", RxRing: 32}, {Interface: "x", BlockTimeout: 1001},
	} {
		_, err := c.withDefaults()
		require.ErrorIs(t, err, pmd.ErrSpec, "%+v", c)
	}
}

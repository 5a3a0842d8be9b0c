package ring

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// A frame can slip in just as the receiving end closes: the sender has seen it
// open, and enqueues after it was drained. Then the sender walks it, whoever
// opens that end next receives it, and whoever closes last returns it.
func TestSentWhileReceiverCloses(t *testing.T) {
	space := mbuf.NewSpace()
	pool, err := space.NewPool(mbuf.Config{Frames: 64})
	require.NoError(t, err)
	a, b, err := NewPair(Config{}, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }})
	require.NoError(t, err)
	ea, eb := NewEndpoint(a), NewEndpoint(b)
	led := mbuf.NewLedger(pool)
	walk := func(ends ...*Endpoint) mbuf.Account {
		led.Begin()
		for _, e := range ends {
			e.Walk(led)
		}
		return led.Account()
	}
	slip := func() {
		var f [1]mbuf.Frame
		require.Equal(t, 1, ea.cache.TakeFrames(f[:], 256, 5, pool.Meta(0)))
		copy(ea.local.Bytes(f[0]), "late.")
		require.True(t, a.link.wires[1].Enqueue(f[0]))
	}

	n, err := ea.Send([]byte("early"))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	acct := walk(ea, eb)
	assert.True(t, acct.Balanced(), "%+v", acct)
	assert.Equal(t, 1, acct.ByOwner[mbuf.OwnerDevice], "walked by the receiver alone")

	require.NoError(t, eb.Close())
	assert.Zero(t, walk(ea).ByOwner[mbuf.OwnerDevice], "drained")
	slip()
	acct = walk(ea)
	assert.True(t, acct.Balanced(), "%+v", acct)
	assert.Equal(t, 1, acct.ByOwner[mbuf.OwnerDevice], "walked by the sender, as nobody else is there")

	b, other := a.link.attach(1, "again", "pair", nil)
	assert.Same(t, a, other)
	eb = NewEndpoint(b)
	acct = walk(ea, eb)
	assert.True(t, acct.Balanced(), "%+v", acct)
	assert.Equal(t, [][]byte{[]byte("late.")}, eb.Receive(9))

	require.NoError(t, eb.Close())
	slip()
	require.NoError(t, ea.Close())
	assert.Equal(t, pool.Frames(), pool.Available(), "the last to close returns it")
	require.NoError(t, space.Release(pool))
}

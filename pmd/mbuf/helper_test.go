package mbuf

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// newPool returns a pool on ordinary pages that must be whole when the test ends.
func newPool(t testing.TB, frames int) *Pool {
	p, release := openPool(t, frames)
	t.Cleanup(func() {
		if !t.Failed() {
			release()
		}
	})
	return p
}

// openPool is newPool for a property, each try of which needs a pool of its own:
// a try that fails leaves frames out.
func openPool(t require.TestingT, frames int) (p *Pool, release func()) {
	space := NewSpace()
	p, err := space.NewPool(Config{Frames: frames, HugePages: HugeOff})
	require.NoError(t, err)
	return p, func() { require.NoError(t, space.Release(p), "a frame leaked") }
}

// account takes the account of p over the given owners.
func account(p *Pool, owners ...func(l *Ledger)) Account {
	l := NewLedger(p)
	l.Begin()
	for _, fn := range owners {
		fn(l)
	}
	return l.Account()
}

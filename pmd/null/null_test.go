package null_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// newEnv returns a pool in a space of its own and an environment that hands it
// out. The pool must be whole again when the test ends.
func newEnv(t testing.TB, cfg mbuf.Config) (*mbuf.Pool, pmd.Env) {
	space := mbuf.NewSpace()
	pool, err := space.NewPool(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, space.Release(pool), "a frame leaked") })
	return pool, pmd.Env{Pool: func(pmd.Class) (*mbuf.Pool, error) { return pool, nil }}
}

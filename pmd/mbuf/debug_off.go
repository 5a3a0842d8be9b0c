//go:build !pmddebug

package mbuf

// Debug reports whether the build checks every take and put of a frame; build
// with -tags pmddebug for that.
const Debug = false

// debugState is what the debug build remembers of a pool: here, nothing.
type debugState struct{}

func debugTake(*Pool, []uint64) {}
func debugPut(*Pool, []uint64)  {}

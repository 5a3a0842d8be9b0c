//go:build pmddebug

package ifnet

import (
	"bytes"
	"fmt"
	"runtime"
	"sync/atomic"
)

// Debug reports whether the build checks that a replica is used on its own core
// only.
const Debug = true

// debugOwner remembers the goroutine that is the replica's core: that of its latest
// message.
type debugOwner struct {
	goroutine atomic.Uint64
}

// debugBind makes the calling goroutine the replica's own. Messages run where the
// core runs, so each of them says who that is.
func (r *Replica) debugBind() { r.owner.goroutine.Store(goroutine()) }

func (r *Replica) debugOwner() {
	if own := r.owner.goroutine.Load(); own != goroutine() {
		panic(fmt.Sprintf("ifnet: the replica of core %d is used by goroutine %d, and belongs to %d: every core has its own, see System.Bind",
			r.core, goroutine(), own))
	}
}

func (c *Container) debugOwner() {
	if v := c.view; v != nil {
		v.replica.debugOwner()
	}
}

// goroutine returns the number of the calling goroutine. The runtime tells it only
// in a stack trace: "goroutine 7 [running]:".
func goroutine() (id uint64) {
	var buf [64]byte
	line := buf[:runtime.Stack(buf[:], false)]
	for _, c := range bytes.TrimPrefix(line, []byte("goroutine ")) {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}

//go:build !pmddebug

package ifnet

// Debug reports whether the build checks that a replica is used on its own core
// only; build with -tags pmddebug for that.
const Debug = false

// debugOwner is what the debug build remembers of a replica: here, nothing.
type debugOwner struct{}

func (*Replica) debugBind()    {}
func (*Replica) debugOwner()   {}
func (*Container) debugOwner() {}

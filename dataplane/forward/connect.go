package forward

import (
	"fmt"

	"example.org/pmd/dataplane"
)

// Link connects two ports, both ways; a port linked to itself loops.
type Link struct {
	A, B dataplane.PortID
}

// Connect returns the cross-connect table of n ports: the output port by input
// port. Links are honoured first; the ports they leave are paired in order, 0–1,
// 2–3, …; a port left alone sends back what it receives. A link to a port that is
// not there, or two links of one port, is an error.
func Connect(n int, links ...Link) ([]dataplane.PortID, error) {
	out := make([]dataplane.PortID, n)
	for i := range out {
		out[i] = dataplane.NoPort
	}
	for _, l := range links {
		for _, p := range []dataplane.PortID{l.A, l.B} {
			if int(p) >= n {
				return nil, fmt.Errorf("forward: cross-connect %d:%d: there is no port %d; ports are 0 to %d", l.A, l.B, p, n-1)
			}
			if out[p] != dataplane.NoPort {
				return nil, fmt.Errorf("forward: cross-connect %d:%d: port %d is connected already", l.A, l.B, p)
			}
		}
		out[l.A], out[l.B] = l.B, l.A
	}
	lone := -1
	for i := range out {
		switch {
		case out[i] != dataplane.NoPort:
		case lone < 0:
			lone = i
		default:
			out[lone], out[i] = dataplane.PortID(i), dataplane.PortID(lone)
			lone = -1
		}
	}
	if lone >= 0 {
		out[lone] = dataplane.PortID(lone)
	}
	return out, nil
}

// table is a cross-connect as stages hold it.
type table []dataplane.PortID

// to returns the output port for frames from in; a port added after the table was
// made is connected to none.
func (t table) to(in dataplane.PortID) dataplane.PortID {
	if int(in) < len(t) {
		return t[in]
	}
	return dataplane.NoPort
}

//go:build linux

package netlab

import "github.com/cilium/ebpf/asm"

// Attach attaches any program, for tests that want a path which loses or
// changes frames.
func (n *Namespace) Attach(ifname string, code asm.Instructions) (*Attachment, error) {
	a := &Attachment{lab: n.lab}
	a.owner = a
	if err := n.attach(a, ifname, "netlab_test", code); err != nil {
		return nil, err
	}
	return a, n.lab.own(a)
}

// Offloads tells which offloads of ifname are on. It must run in its namespace.
func Offloads(ifname string) (map[string]bool, error) {
	e, err := openEthtool(ifname)
	if err != nil {
		return nil, err
	}
	defer e.close()
	on := map[string]bool{}
	for _, o := range offloads {
		v, err := e.value(o.get)
		if err != nil {
			return nil, err
		}
		on[o.name] = v != 0
	}
	return on, nil
}

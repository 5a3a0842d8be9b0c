package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"example.org/pmd/ifnet"
)

// Interface describes a port for people and programs.
type Interface struct {
	ID     int    `json:"id"`
	Name   string `json:"name"`
	Driver string `json:"driver"`
	// Mode is what the driver obtained, empty if it has no modes.
	Mode string `json:"mode"`
	Up   bool   `json:"up"`
	// Detail tells why the port is down.
	Detail string `json:"detail,omitempty"`
	MAC    string `json:"mac"`
	// MTU is in bytes, without the Ethernet header.
	MTU int `json:"mtu"`
	// NUMANode is -1 if it is not known or does not matter.
	NUMANode int `json:"numa_node"`
	// To is the port that received frames go to.
	To string `json:"to"`
	// Spec is what the port was opened from.
	Spec   string           `json:"spec"`
	Queues []InterfaceQueue `json:"queues"`
	// UnpolledQueues are queues that frames come to and nobody polls, and Remedy says
	// what to do about them.
	UnpolledQueues []int  `json:"unpolled_queues,omitempty"`
	Remedy         string `json:"remedy,omitempty"`
	// Obtained lists settings as the driver obtained them.
	Obtained map[string]string `json:"obtained,omitempty"`
	NetInterface
}

// NetInterface is a port's interface, as package ifnet has it.
type NetInterface struct {
	// Index counts interfaces from 1, in the order in which they came.
	Index int `json:"index"`
	// Type is the kind of link.
	Type string `json:"type"`
	// Flags are those that are set, by name, and FlagBits the same as a number.
	Flags    []string `json:"flags"`
	FlagBits uint32   `json:"flag_bits"`
	// AdminUp says that the interface is up, whatever its link is, and Polling that it
	// is registered for polling. It carries frames if both are true and its link is up.
	AdminUp bool `json:"admin_up"`
	Polling bool `json:"polling"`
	// Link is "up", "down" or "unknown".
	Link   string `json:"link"`
	Metric int    `json:"metric"`
	// Caps are the capabilities there are, CapsEnabled those that are on.
	Caps        []string `json:"capabilities"`
	CapsEnabled []string `json:"capabilities_enabled"`
	// Promisc and AllMulti count who asked for it, beside the flags that are set for good.
	Promisc   int          `json:"promisc_count"`
	AllMulti  int          `json:"allmulti_count"`
	Addresses []NetAddress `json:"addresses"`
	Groups    []NetGroup   `json:"groups"`
	SendQueue SendQueue    `json:"send_queue"`
	// LastChange is when something was last changed.
	LastChange time.Time `json:"last_change"`
}

// NetAddress is an IPv4 or IPv6 address of an interface.
type NetAddress struct {
	// Address is the address with the length of its network.
	Address string `json:"address"`
	// Broadcast and Peer are empty if there is none.
	Broadcast string `json:"broadcast,omitempty"`
	Peer      string `json:"peer,omitempty"`
}

// NetGroup is a multicast group that an interface is in.
type NetGroup struct {
	Group string `json:"group"`
	// Link is the link-level group that it brought.
	Link string `json:"link,omitempty"`
	// Count is how many asked for it.
	Count int `json:"count"`
}

// SendQueue is the queue of frames that other cores send on a port.
type SendQueue struct {
	// Limit and Length are in frames.
	Limit  int `json:"limit"`
	Length int `json:"length"`
	// Drops counts frames for which there was no room, Purged those that were in the
	// queue when the interface went down.
	Drops  uint64 `json:"drops"`
	Purged uint64 `json:"purged"`
}

// netInterface describes an interface.
func netInterface(i ifnet.Info) NetInterface {
	n := NetInterface{
		Index: i.Index, Type: i.Type.String(), Flags: words(i.Flags.String()), FlagBits: uint32(i.Flags),
		AdminUp: i.Flags&ifnet.FlagUp != 0, Polling: i.Flags&ifnet.FlagPolling != 0,
		Link: i.Link.String(), Metric: i.Metric, Caps: words(i.Caps.String()), CapsEnabled: words(i.CapEnabled.String()),
		Promisc: i.Promisc, AllMulti: i.AllMulti, Addresses: []NetAddress{}, Groups: []NetGroup{},
		SendQueue:  SendQueue{Limit: i.QueueLimit, Length: i.Queued, Drops: i.QueueDrops, Purged: i.QueuePurged},
		LastChange: i.LastChange,
	}
	for _, a := range i.Addresses {
		n.Addresses = append(n.Addresses, NetAddress{prefixText(a), addrText(a.Broadcast), addrText(a.Peer)})
	}
	for _, m := range i.Groups {
		g := NetGroup{Group: m.Group.String(), Count: m.Count}
		if m.Link != (ifnet.Group{}) {
			g.Link = m.Link.String()
		}
		n.Groups = append(n.Groups, g)
	}
	return n
}

// words takes a list of names apart.
func words(list string) []string {
	if list == "" {
		return []string{}
	}
	return strings.Split(list, ",")
}

// prefixText writes an address with its network's length, if it has one.
func prefixText(a ifnet.AddrInfo) string {
	if a.NoMask {
		return a.Prefix.Addr().String()
	}
	return a.Prefix.String()
}

// addrText writes an address, and nothing for none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// InterfaceQueue tells who polls a queue.
type InterfaceQueue struct {
	Index int `json:"index"`
	// CPU is -1 if the queue's worker is not pinned, or nobody polls it.
	CPU int `json:"cpu"`
}

// ErrNoPort is wrapped when a port is asked for that is not there.
var ErrNoPort = errors.New("there is no such interface")

// Interfaces describes every port, in the order of the configuration.
func (e *Engine) Interfaces(ctx context.Context) ([]Interface, error) {
	ctx, cancel := context.WithTimeout(ctx, e.bounds.control)
	defer cancel()
	ports, w := e.now()
	s, err := e.dp.Stats(ctx)
	if err != nil {
		return nil, err
	}
	nets, err := e.sys.Interfaces(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]ifnet.Info{}
	for _, i := range nets {
		byName[i.Name] = i
	}
	list := make([]Interface, 0, len(ports))
	for i, port := range ports {
		p := s.Ports[port.id]
		f := Interface{
			ID: int(port.id), Name: p.Name, Driver: p.Driver, Mode: p.Mode, Up: p.Up, Detail: p.Detail, MAC: p.MAC, MTU: p.MTU,
			NUMANode: port.node, To: ports[w.table[i]].spec.Name, Spec: port.spec.String(), Obtained: p.Obtained, UnpolledQueues: p.UnpolledQueues, Remedy: p.Remedy,
			Queues: []InterfaceQueue{}, NetInterface: netInterface(byName[port.spec.Name]),
		}
		for _, q := range p.Queues {
			f.Queues = append(f.Queues, InterfaceQueue{Index: q.Index, CPU: q.CPU})
		}
		list = append(list, f)
	}
	return list, nil
}

// Interface describes one port, by name or else by number. The error wraps
// ErrNoPort if it is not there.
func (e *Engine) Interface(ctx context.Context, ref string) (Interface, error) {
	list, err := e.Interfaces(ctx)
	if err != nil {
		return Interface{}, err
	}
	names := make([]string, len(list))
	number := -1
	for i, f := range list {
		if f.Name == ref { // names first: a port may be called "1"
			return f, nil
		}
		if strconv.Itoa(f.ID) == ref {
			number = i
		}
		names[i] = f.Name
	}
	if number >= 0 {
		return list[number], nil
	}
	return Interface{}, On("describe", ref, fmt.Errorf("%w; there are %s", ErrNoPort, strings.Join(names, ", ")))
}

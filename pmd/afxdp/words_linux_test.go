package afxdp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd/internal/netif"
	"example.org/pmd/pmd/journal"
)

func TestQueueList(t *testing.T) {
	for want, qs := range map[string][]int{
		"queue 3": {3}, "queues 0-1": {0, 1}, "queues 0,2": {0, 2}, "queues 1-3,5,7-8": {1, 2, 3, 5, 7, 8},
	} {
		assert.Equal(t, want, queueList(qs))
	}
}

// nic is an interface that nobody can ask anything.
func nic() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "no-such-nic"}}
}

// The remedy suits what the driver can do. A NIC with an RSS table that can be read
// is not to be had in a test.
func TestUnpolledRemedy(t *testing.T) {
	open := func(first, n int) *Device {
		return &Device{cfg: Config{Interface: "no-such-nic", Queue: first, Queues: n}, queues: make([]*queue, n)}
	}
	queues, text := open(0, 4).unpolled(nic(), channels{live: 4, most: 8, unit: "combined"})
	assert.Empty(t, queues)
	assert.Empty(t, text)
	queues, text = open(0, 2).unpolled(nic(), channels{live: 8, most: 8, unit: "combined"})
	assert.Equal(t, []int{2, 3, 4, 5, 6, 7}, queues)
	assert.Equal(t, "frames that come on queues 2-7 are not forwarded, nobody polls there: "+
		"queues=all polls them; ethtool -L no-such-nic combined 2 turns them off", text)
	_, text = open(0, 1).unpolled(nic(), channels{live: 2, most: 8, unit: "rx"})
	assert.Contains(t, text, "queue 1 are not forwarded")
	assert.Contains(t, text, "ethtool -L no-such-nic rx 1 turns it off")
	_, text = open(3, 1).unpolled(nic(), channels{live: 5, most: 8, unit: "combined"})
	assert.Contains(t, text, "queues 0-2,4")
	assert.NotContains(t, text, "ethtool -L", "that takes the last queues away, and ours is one of them")
	all := open(0, 2)
	all.cfg.Queues = 0
	_, text = all.unpolled(nic(), channels{live: 4, most: 4})
	assert.Contains(t, text, "start again to poll them")
	assert.NotContains(t, text, "ethtool")
}

func TestCountOfQueues(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		have int // queues of a port that was open before
		ch   channels
		want int
		err  string
	}{
		{Config{}, 0, channels{live: 4, most: 8}, 4, ""},
		{Config{Queue: 1}, 0, channels{live: 4, most: 8}, 3, ""},
		{Config{Queue: 1, Queues: 2}, 0, channels{live: 4, most: 8}, 2, ""},
		{Config{Queues: 4}, 0, channels{live: 2, most: 8, unit: "combined"}, 0, "make more with ethtool -L eth1 combined 4, or use queues=all"},
		{Config{Queues: 9}, 0, channels{live: 2, most: 8, unit: "combined"}, 0, "queues 0 to 1: use queues=all"},
		{Config{Queue: 4}, 0, channels{live: 4, most: 4}, 0, "queue 4: the interface has queues 0 to 3"},
		{Config{}, 2, channels{live: 4, most: 8}, 2, ""},
		{Config{}, 2, channels{live: 1, most: 8, unit: "combined"}, 0, "ethtool -L eth1 combined 2, or start again"},
	} {
		c.cfg.Interface = "eth1"
		n, err := (&Device{cfg: c.cfg, queues: make([]*queue, c.have)}).count(c.ch)
		assert.Equal(t, c.want, n, "%+v", c)
		if c.err != "" {
			require.ErrorIs(t, err, unix.EINVAL)
			require.ErrorContains(t, err, c.err)
		} else {
			require.NoError(t, err)
		}
	}
}

// An offload that cannot be switched off is refused by name, with the way out.
func TestOffloadHarm(t *testing.T) {
	for _, o := range offloads {
		text := harm(journal.Change{Kind: netif.KindFeature, Key: o.name})
		assert.Contains(t, text, o.harm)
		assert.Contains(t, text, "offloads=keep")
	}
	assert.Empty(t, harm(journal.Change{Kind: netif.KindSysfs, Key: deferHardIRQs}))
}

package cpu

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// netTree is class/net with a PCI card, one on the unknown node, a virtio interface behind a
// PCI function, and a veth.
func netTree() fstest.MapFS {
	link := func(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink} }
	const bridge, virt = "devices/pci0000:00", "devices/virtual/net/veth0"
	return fstest.MapFS{
		bridge + "/0000:00:01.0/numa_node":               file("1"),
		bridge + "/0000:00:01.0/net/eth0/mtu":            file("1500"),
		bridge + "/0000:00:01.0/net/eth0/device":         link("../../../0000:00:01.0"),
		bridge + "/0000:00:02.0/numa_node":               file("-1"),
		bridge + "/0000:00:02.0/net/eth1/device":         link("../../../0000:00:02.0"),
		bridge + "/0000:00:03.0/numa_node":               file("0"),
		bridge + "/0000:00:03.0/virtio2/status":          file("0xf"),
		bridge + "/0000:00:03.0/virtio2/net/eth2/device": link("../../../virtio2"),
		virt + "/mtu":       file("1500"),
		"class/net/eth0":    link("../../" + bridge + "/0000:00:01.0/net/eth0"),
		"class/net/eth1":    link("../../" + bridge + "/0000:00:02.0/net/eth1"),
		"class/net/eth2":    link("../../" + bridge + "/0000:00:03.0/virtio2/net/eth2"),
		"class/net/veth0":   link("../../" + virt),
		"class/secret/node": file("7"),
	}
}

func TestInterfaceNode(t *testing.T) {
	sys := netTree()
	for name, want := range map[string]int{"eth0": 1, "eth1": -1, "eth2": 0, "veth0": -1} {
		node, err := InterfaceNode(sys, name)
		require.NoError(t, err, name)
		assert.Equal(t, want, node, name)
	}
	_, err := InterfaceNode(sys, "eth9")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "eth9")
}

func TestInterfaceNodeGarbage(t *testing.T) {
	sys := netTree()
	sys["devices/pci0000:00/0000:00:01.0/numa_node"] = file("one")
	sys["devices/pci0000:00/0000:00:03.0/numa_node"] = file("-7")
	for _, name := range []string{"eth0", "eth2"} {
		_, err := InterfaceNode(sys, name)
		assert.ErrorContains(t, err, name)
		assert.ErrorContains(t, err, "numa_node")
	}
}

// A file system without links, as a test tree copied to disk may be.
func TestInterfaceNodeNoLinks(t *testing.T) {
	node, err := InterfaceNode(fstest.MapFS{"class/net/eth0/device/numa_node": file("3")}, "eth0")
	require.NoError(t, err)
	assert.Equal(t, 3, node)
	node, err = InterfaceNode(fstest.MapFS{"class/net/br0/mtu": file("1500")}, "br0")
	require.NoError(t, err)
	assert.Equal(t, -1, node)
}

// refuse fails the test on any access.
type refuse struct{ t *testing.T }

func (r refuse) Open(name string) (fs.File, error) {
	r.t.Errorf("opened %q", name)
	return nil, fs.ErrNotExist
}

func TestInterfaceNodeBadNames(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", "../eth0", "eth0/device", "a/b", "/", "eth 0", "eth0\n", "eth0:1", "eth\x00", "a\xa0b",
		strings.Repeat("x", 16), strings.Repeat("../", 5),
	} {
		_, err := InterfaceNode(refuse{t}, name)
		if assert.Error(t, err, "%q", name) {
			assert.ErrorContains(t, err, "not an interface name")
		}
	}
	for _, name := range []string{"eth0", "enp0s31f6", "...", "a..b", "wlan-0.5@x", strings.Repeat("x", 15), "größe"} {
		assert.True(t, validInterfaceName(name), "%q", name)
	}
}

package afxdp

import (
	"io/fs"
	"path"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMSIInterrupts(t *testing.T) {
	const pci = "devices/pci0000:00/0000:00:03.0"
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink}
	}
	sys := fstest.MapFS{
		"class/net/eth0": link("../../" + pci + "/virtio0/net/eth0"),
		"class/net/eth1": link("../../" + pci + "/net/eth1"),
		"class/net/v0":   link("../../devices/virtual/net/v0"),
		"class/net/none": link("../../devices/pci0000:00/0000:00:04.0/net/none"),

		"devices/virtual/net/v0/mtu":                              {},
		path.Join("devices/pci0000:00/0000:00:04.0/net/none/mtu"): {},
	}
	for _, irq := range []string{"27", "25", "100"} {
		sys[path.Join(pci, "msi_irqs", irq)] = &fstest.MapFile{Data: []byte("msix\n")}
	}
	for name, want := range map[string][]int{"eth0": {25, 27, 100}, "eth1": {25, 27, 100}, "v0": nil, "none": nil} {
		got, err := msiInterrupts(sys, name)
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name)
	}
	_, err := msiInterrupts(sys, "gone")
	assert.Error(t, err)
}

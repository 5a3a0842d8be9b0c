//go:build linux

package afxdp_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
	"example.org/pmd/pmd/netlab/netlabtest"
	"example.org/pmd/pmd/pmdtest"
)

// The conformance suite over veth pairs of one and of two queues.
func TestConformance(t *testing.T) {
	for _, queues := range []int{1, 2} {
		t.Run(fmt.Sprintf("queues=%d", queues), func(t *testing.T) { conformance(t, queues, 1500) })
	}
	t.Run("jumbo", func(t *testing.T) { conformance(t, 1, jumbo) })
}

// conformance runs the suite. The far side is a packet socket that hears the
// suite's EtherType (0x88b5) alone and sends on its first queue.
func conformance(t *testing.T, queues, mtu int) {
	lab := netlabtest.New(t)
	host, err := lab.Namespace("host")
	require.NoError(t, err)
	ports, err := lab.Namespace("ports")
	require.NoError(t, err)
	_, err = lab.Veth(netlab.VethEnd{Namespace: host, Name: "h0", Queues: queues, MTU: mtu}, netlab.VethEnd{Namespace: ports, Name: "p0", MTU: mtu})
	require.NoError(t, err)
	setChannels(t, host, "h0", queues, 1)
	pmdtest.TestDevice(t, pmdtest.Harness{
		Async: true, Pool: mbuf.Config{MultiBuffer: mtu == jumbo}, MaxPacket: mtu + 14,
		Open: func(t testing.TB, env pmd.Env) pmdtest.Setup {
			spec, err := pmd.ParseSpec("p0,netns=" + ports.Path())
			require.NoError(t, err)
			dev, err := afxdp.NewDriver().Open(context.Background(), spec, env)
			require.NoError(t, err)
			require.Len(t, dev.Queues(), queues)
			var fd int
			require.NoError(t, host.Do(func() error {
				ifi, err := net.InterfaceByName("h0")
				if err != nil {
					return err
				}
				if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, 0); err != nil {
					return err
				}
				if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
					return err
				}
				return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0xb588, Ifindex: ifi.Index})
			}))
			buf := make([]byte, 1<<14)
			return pmdtest.Setup{
				Device: dev,
				Inject: func(packets [][]byte) int {
					for i, p := range packets {
						if _, err := unix.Write(fd, p); err != nil {
							return i
						}
					}
					return len(packets)
				},
				Collect: func() (out [][]byte) {
					for {
						n, from, err := unix.Recvfrom(fd, buf, 0)
						if err != nil {
							return out
						}
						if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
							continue
						}
						out = append(out, append([]byte(nil), buf[:n]...))
					}
				},
				Release: func() { require.NoError(t, unix.Close(fd)) },
			}
		},
	})
}

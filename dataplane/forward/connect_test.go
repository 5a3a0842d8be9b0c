package forward_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
)

func TestConnect(t *testing.T) {
	for _, test := range []struct {
		name  string
		ports int
		links []forward.Link
		want  []dataplane.PortID
	}{
		{"none", 0, nil, []dataplane.PortID{}},
		{"a lone port loops", 1, nil, []dataplane.PortID{0}},
		{"a pair", 2, nil, []dataplane.PortID{1, 0}},
		{"a pair and a lone port", 3, nil, []dataplane.PortID{1, 0, 2}},
		{"two pairs", 4, nil, []dataplane.PortID{1, 0, 3, 2}},
		{"the links leave a pair", 4, []forward.Link{{A: 0, B: 3}}, []dataplane.PortID{3, 2, 1, 0}},
		{"the links leave distant ports", 4, []forward.Link{{A: 1, B: 2}}, []dataplane.PortID{3, 2, 1, 0}},
		{"a link to itself", 3, []forward.Link{{A: 1, B: 1}}, []dataplane.PortID{2, 1, 0}},
		{"backwards", 2, []forward.Link{{A: 1, B: 0}}, []dataplane.PortID{1, 0}},
		{"the links leave a lone port", 3, []forward.Link{{A: 0, B: 1}}, []dataplane.PortID{1, 0, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := forward.Connect(test.ports, test.links...)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestConnectMistakes(t *testing.T) {
	for _, test := range []struct {
		name  string
		ports int
		links []forward.Link
		want  string
	}{
		{"no such port", 2, []forward.Link{{A: 0, B: 2}}, "0:2: there is no port 2; ports are 0 to 1"},
		{"no port at all", 0, []forward.Link{{A: 0, B: 0}}, "there is no port 0"},
		{"no port", 2, []forward.Link{{A: dataplane.NoPort, B: 1}}, "there is no port 65535"},
		{"twice", 4, []forward.Link{{A: 0, B: 1}, {A: 1, B: 2}}, "1:2: port 1 is connected already"},
		{"the same twice", 2, []forward.Link{{A: 0, B: 1}, {A: 0, B: 1}}, "port 0 is connected already"},
		{"a loop twice", 2, []forward.Link{{A: 0, B: 0}, {A: 0, B: 0}}, "port 0 is connected already"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := forward.Connect(test.ports, test.links...)
			require.ErrorContains(t, err, test.want)
			require.Nil(t, got)
		})
	}
}

// Whatever the links: either the table pairs every port, both ways, honours every
// link and leaves at most one port alone that no link says is; or two links meet.
func TestConnectProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(rt, "ports")
		port := rapid.Uint16Range(0, uint16(n))
		links := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) forward.Link {
			return forward.Link{A: dataplane.PortID(port.Draw(rt, "a")), B: dataplane.PortID(port.Draw(rt, "b"))}
		}), 0, 5).Draw(rt, "links")
		uses, bad := map[dataplane.PortID]int{}, false
		looped := 0
		for _, l := range links {
			uses[l.A]++
			if l.A != l.B {
				uses[l.B]++
			} else {
				looped++
			}
			bad = bad || int(l.A) >= n || int(l.B) >= n
		}
		for _, k := range uses {
			bad = bad || k > 1
		}
		out, err := forward.Connect(n, links...)
		require.Equal(rt, bad, err != nil, "%v", err)
		if err != nil {
			return
		}
		require.Len(rt, out, n)
		alone := 0
		for i, p := range out {
			require.Less(rt, int(p), n)
			require.Equal(rt, dataplane.PortID(i), out[p], "not both ways: %v", out)
			if int(p) == i {
				alone++
			}
		}
		for _, l := range links {
			require.Equal(rt, l.B, out[l.A])
		}
		require.Equal(rt, looped+(n-looped)%2, alone)
	})
}

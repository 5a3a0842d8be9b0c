package pmd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
)

func TestParseSpec(t *testing.T) {
	type options = map[string]string
	for _, c := range []struct {
		in   string
		want pmd.Spec
		str  string // what String gives, if not in
	}{
		{"eth1", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", Options: options{}}, ""},
		{"eth1,", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", Options: options{}}, "eth1"},
		{"eth1,mode=copy", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", Options: options{"mode": "copy"}}, ""},
		{"eth1,z=1,a=2", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", Options: options{"a": "2", "z": "1"}}, "eth1,a=2,z=1"},
		{"eth1,name=wan", pmd.Spec{Driver: "afxdp", Name: "wan", Interface: "eth1", Options: options{}}, ""},
		{"eth1,name=eth1", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", Options: options{}}, "eth1"},
		{"afxdp:eth1", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", Options: options{}}, "eth1"},
		{"afxdp:eth1,mode=copy", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", Options: options{"mode": "copy"}}, "eth1,mode=copy"},
		{"afxdp:eth0:1", pmd.Spec{Driver: "afxdp", Name: "eth0:1", Interface: "eth0:1", Options: options{}}, ""},
		{"afxdp:iface=eth1", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", Options: options{}}, "eth1"},
		{"afpacket:eth1", pmd.Spec{Driver: "afpacket", Name: "eth1", Interface: "eth1", Options: options{}}, ""},
		{"afpacket:iface=eth1,queues=2", pmd.Spec{Driver: "afpacket", Name: "eth1", Interface: "eth1", Options: options{"queues": "2"}}, "afpacket:eth1,queues=2"},
		{"tap:queues=2,iface=tap0,name=vm", pmd.Spec{Driver: "tap", Name: "vm", Interface: "tap0", Options: options{"queues": "2"}}, "tap:tap0,name=vm,queues=2"},
		{"tap:tap0,pollcpu=1,2", pmd.Spec{Driver: "tap", Name: "tap0", Interface: "tap0", PollCPU: "1,2", Options: options{}}, ""},
		{"tap:iface=a=b", pmd.Spec{Driver: "tap", Name: "a=b", Interface: "a=b", Options: options{}}, ""},
		{"null:size", pmd.Spec{Driver: "null", Name: "size", Interface: "size", Options: options{}}, ""}, // refused by the driver
		{"null:", pmd.Spec{Driver: "null", Options: options{}}, ""},
		{"null:size=64", pmd.Spec{Driver: "null", Options: options{"size": "64"}}, ""},
		{"null:name=n0,size=64,copy=on", pmd.Spec{Driver: "null", Name: "n0", Options: options{"size": "64", "copy": "on"}}, "null:name=n0,copy=on,size=64"},
		{"pcap:in=a:b=c", pmd.Spec{Driver: "pcap", Options: options{"in": "a:b=c"}}, ""},
		{"eth1,pollcpu=3,mode=copy", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", PollCPU: "3", Options: options{"mode": "copy"}}, ""},
		{"eth1,mode=copy,pollcpu=5,2-4,7", pmd.Spec{Driver: "afxdp", Name: "eth1", Interface: "eth1", PollCPU: "5,2-4,7", Options: options{"mode": "copy"}},
			"eth1,pollcpu=5,2-4,7,mode=copy"},
		{"null:pollcpu=1,1", pmd.Spec{Driver: "null", PollCPU: "1,1", Options: options{}}, ""},
		{"tap:empty=", pmd.Spec{Driver: "tap", Options: options{"empty": ""}}, ""},
	} {
		got, err := pmd.ParseSpec(c.in)
		require.NoError(t, err, c.in)
		assert.Equal(t, c.want, got, c.in)
		if c.str == "" {
			c.str = c.in
		}
		assert.Equal(t, c.str, got.String(), c.in)
	}
}

func TestParseSpecErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "begin with an interface"},
		{",mode=copy", "begin with an interface"},
		{"size=64", "begin with an interface"},
		{"size=64:x", "begin with an interface"},
		{":size=64", "no driver before the colon"},
		{"null:copy=on,size", `"size" is not key=value`},
		{"tap:tap0,iface=tap1", "the interface is given twice"},
		{"eth1,iface=eth1", "the interface is given twice"},
		{"tap:iface=", "iface is empty"},
		{"tap:iface=a/b", `has '/'`},
		{"null:=64", `"=64" is not key=value`},
		{"eth1,,a=b", `"" is not key=value`},
		{"eth1,a=1,a=2", "a is given twice"},
		{"eth1,name=a,name=b", "name is given twice"},
		{"eth1,name=", "name is empty"},
		{"eth1,pollcpu=", "pollcpu is empty"},
		{"eth1,pollcpu=2,x", `"x" is not key=value`},
		{"eth1,pollcpu=2,", `"" is not key=value`},
		{"eth1,mode=copy,3", `"3" is not key=value`},
		{"eth1,pollcpu=2,pollcpu=3", "pollcpu is given twice"},
		{"eth1,name=a b", `has ' '`},
		{"eth1,name=a/b", `has '/'`},
		{"../eth1", `has '/'`},
		{"eth1,name=é", `has 'é'`},
		{"eth1,name=" + strings.Repeat("x", 65), "longer than 64 bytes"},
		{strings.Repeat("x", 65), "longer than 64 bytes"},
		{strings.Repeat("x", 5000), "longer than 4096 bytes"},
		{"eth1,mode=a\nb", "control character at byte 11"},
		{"eth1\x00", "control character"},
	} {
		_, err := pmd.ParseSpec(c.in)
		require.ErrorIs(t, err, pmd.ErrSpec, "%q", c.in)
		assert.ErrorContains(t, err, c.want)
		assert.NotContains(t, err.Error(), "\n")
		assert.Less(t, len(err.Error()), 400)
	}
}

// What parses can be printed and parsed again, to the same; what does not is an
// ErrSpec of one line.
func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{
		"eth1", "eth1,mode=copy,name=wan", "null:size=64", "afxdp:eth0:1,a=b", "ring:pair=a,name=b",
		"x:", ":", ",", "=", "a:b:c=d", "afxdp:,a=b", "afxdp:=", "eth1,name=eth1", "tap:tap0", "tap:iface=tap0,a=b", "tap:iface==", "x:iface=a:b,name=c",
		"\xff:a=\xff", "eth1,pollcpu=2,4-5,a=b", "x:pollcpu=,1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := pmd.ParseSpec(in)
		if err != nil {
			require.ErrorIs(t, err, pmd.ErrSpec)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NotContains(t, s.Options, "name")
		require.NotContains(t, s.Options, "pollcpu")
		again, err := pmd.ParseSpec(s.String())
		require.NoError(t, err, "%q was printed as %q", in, s)
		require.Equal(t, s, again, "%q was printed as %q", in, s)
		require.Equal(t, s.String(), again.String())
		// A driver that knows no option refuses each, in words.
		if err := s.Read().Done(); len(s.Options) > 0 {
			require.ErrorIs(t, err, pmd.ErrSpec)
		} else {
			require.NoError(t, err)
		}
	})
}

func TestReader(t *testing.T) {
	parse := func(s string) pmd.Spec {
		spec, err := pmd.ParseSpec(s)
		require.NoError(t, err)
		return spec
	}
	r := parse("x:s=words,n=12,p=64,b=on,c=no,m=copy,name=me").Read()
	assert.Equal(t, "words", r.String("s", "def"))
	assert.Equal(t, 12, r.Int("n", 1, 0, 100))
	assert.Equal(t, 64, r.PowerOfTwo("p", 1, 1, 128))
	assert.True(t, r.Bool("b", false))
	assert.False(t, r.Bool("c", true))
	assert.Equal(t, "copy", r.OneOf("m", "auto", "copy"))
	require.NoError(t, r.Done())

	r = parse("x:").Read()
	assert.Equal(t, "def", r.String("s", "def"))
	assert.Equal(t, 1, r.Int("n", 1, 0, 100))
	assert.Equal(t, 8, r.PowerOfTwo("p", 8, 1, 128))
	assert.True(t, r.Bool("b", true))
	assert.Equal(t, "auto", r.OneOf("m", "auto", "copy"))
	require.NoError(t, r.Done())
	for _, v := range []string{"on", "true", "1", "yes"} {
		assert.True(t, parse("x:b="+v).Read().Bool("b", false), v)
	}
	for _, v := range []string{"off", "false", "0", "no"} {
		assert.False(t, parse("x:b="+v).Read().Bool("b", true), v)
	}
}

func TestReaderErrors(t *testing.T) {
	read := func(r *pmd.Reader) {
		r.Int("n", 1, 2, 9)
		r.PowerOfTwo("p", 4, 2, 64)
		r.Bool("b", false)
		r.OneOf("m", "auto", "copy")
	}
	for _, c := range []struct{ in, want string }{
		{"x:n=1", "x:n=1: n=1: use a number from 2 to 9"},
		{"x:n=10", "use a number from 2 to 9"},
		{"x:n=", "use a number from 2 to 9"},
		{"x:n=3.5", "use a number from 2 to 9"},
		{"x:n=99999999999999999999", "use a number from 2 to 9"},
		{"x:p=48", "p=48: use a power of two from 2 to 64"},
		{"x:p=128", "p=128: use a power of two from 2 to 64"},
		{"x:p=many", "p=many: use a power of two from 2 to 64"},
		{"x:b=perhaps", "b=perhaps: use on or off"},
		{"x:m=fast", "m=fast: use auto, copy"},
		{"x:q=1", `driver x has no option "q"; it has b, iface, m, n, name, p, pollcpu`},
		{"x:z=1,y=1", `no option "y"`},
		{"x:q=1,n=1", "n=1: use"},    // a bad value comes before an unknown option
		{"x:m=fast,n=1", "n=1: use"}, // the first that was read
	} {
		spec, err := pmd.ParseSpec(c.in)
		require.NoError(t, err)
		r := spec.Read()
		read(r)
		err = r.Done()
		require.ErrorIs(t, err, pmd.ErrSpec, c.in)
		assert.ErrorContains(t, err, c.want, c.in)
	}
}

// fake is a driver that remembers what it was asked for.
type fake struct {
	kind string
	got  *pmd.Spec
}

var errFake = errors.New("opened by the fake")

func (f fake) Kind() string { return f.kind }
func (f fake) Open(_ context.Context, s pmd.Spec, _ pmd.Env) (pmd.Device, error) {
	*f.got = s
	return nil, errFake
}

func TestRegistry(t *testing.T) {
	var first, second pmd.Spec
	r := pmd.NewRegistry(fake{"b", &first}, fake{"a", &first}, fake{"b", &second})
	assert.Equal(t, []string{"a", "b"}, r.Kinds())
	spec, err := pmd.ParseSpec("b:x=1")
	require.NoError(t, err)
	_, err = r.Open(context.Background(), spec, pmd.Env{})
	require.ErrorIs(t, err, errFake)
	assert.Equal(t, spec, second, "the last of a kind counts")
	assert.Empty(t, first.Driver)

	_, err = r.Open(context.Background(), pmd.Spec{Driver: "c"}, pmd.Env{})
	require.ErrorIs(t, err, pmd.ErrSpec)
	assert.ErrorContains(t, err, `no driver "c"; there are a, b`)
}

// prober is a driver that can be asked first.
type prober struct {
	fake
	err error
}

func (p prober) Probe(_ context.Context, s pmd.Spec) (pmd.Estimate, error) {
	return pmd.Estimate{Queues: len(s.Options) + 2, NUMANode: 1, Frames: 9}, p.err
}

func TestProbe(t *testing.T) {
	var got pmd.Spec
	r := pmd.NewRegistry(fake{"plain", &got}, prober{fake{"tells", &got}, nil}, prober{fake{"fails", &got}, errFake})
	one := pmd.Estimate{Queues: 1, NUMANode: -1}
	for kind, want := range map[string]pmd.Estimate{"plain": one, "fails": one, "none": one, "tells": {Queues: 3, NUMANode: 1, Frames: 9}} {
		assert.Equal(t, want, r.Probe(t.Context(), pmd.Spec{Driver: kind, Options: map[string]string{"a": "b"}}), kind)
	}
}

func ExampleParseSpec() {
	for _, s := range []string{"eth1,name=wan,mode=copy", "null:size=128"} {
		spec, err := pmd.ParseSpec(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("driver %s, name %q, options %v\n", spec.Driver, spec.Name, spec.Options)
	}
	// Output:
	// driver afxdp, name "wan", options map[mode:copy]
	// driver null, name "", options map[size:128]
}

func ExampleReader() {
	spec, err := pmd.ParseSpec("null:size=9000,queues=2")
	if err != nil {
		fmt.Println(err)
		return
	}
	r := spec.Read()
	queues := r.Int("queues", 1, 1, 64)
	r.Int("size", 64, 60, 4096)
	fmt.Println(queues, r.Done())
	// Output: 2 bad port: null:queues=2,size=9000: size=9000: use a number from 60 to 4096
}

func TestLocalMAC(t *testing.T) {
	a := pmd.LocalMAC("null", "a")
	assert.Len(t, a, 6)
	assert.EqualValues(t, 0x02, a[0], "locally administered, unicast")
	assert.Equal(t, a, pmd.LocalMAC("null", "a"))
	assert.NotEqual(t, a, pmd.LocalMAC("null", "b"))
	assert.NotEqual(t, a, pmd.LocalMAC("ring", "a"))
}

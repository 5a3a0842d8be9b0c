package config_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cmd/pmd/internal/config"
)

func lines(ms []config.Mistake) []string {
	var out []string
	for _, m := range ms {
		out = append(out, m.String("f"))
	}
	return out
}

func TestParse(t *testing.T) {
	doc, ms := config.Parse([]byte(`# comment
forward = "mac" # behind
burst = 0x40
frames = 16_384
rate = 1.5
json = true
xconnect = [
  "a:b", # one

  "c:d",
]
text = """
two
lines"""

[[port]]
interface = "eth1"

[[port]]
driver = 'null'
"quoted" = 1
`))
	require.Empty(t, ms)
	var got []string
	for _, e := range doc.Entries {
		got = append(got, fmt.Sprintf("%d %s %s", e.Value.Line, e.Key, e.Value))
	}
	assert.Equal(t, []string{
		`2 forward "mac"`, `3 burst 64`, `4 frames 16384`, `5 rate 1.5`, `6 json true`,
		`8 xconnect ["a:b", "c:d"]`, `12 text "two\u000Alines"`,
	}, got)
	for i, line := range []int{8, 10} {
		assert.Equal(t, line, doc.Entries[5].Value.Items[i].Line)
	}
	require.Len(t, doc.Ports, 2)
	assert.Equal(t, []int{16, 19}, []int{doc.Ports[0].Line, doc.Ports[1].Line})
	assert.Equal(t, config.Entry{Key: "quoted", Value: config.Value{Kind: config.Integer, Line: 21, Text: "1"}}, doc.Ports[1].Entries[1])
}

func TestMistakesOfForm(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // the beginning of each
	}{
		"syntax, twice, and a table": {"a = \nb = 1\nc = oops\n[x]\ny = 1\n", []string{"f:1: no TOML", "f:3: no TOML", "f:4: x: there is no such table"}},
		"key twice":                  {"a = 1\nb = 2\na = 3\n", []string{"f:3: a: no TOML"}},
		"one bracket":                {"[port]\nx = 1\n", []string{"f:1: port: write [[port]], with two brackets"}},
		"dots":                       {"a.b = 1\n", []string{"f:1: a.b: a key has no dots"}},
		"other tables":               {"[[ports]]\nx = 1\n", []string{"f:1: ports: there is no such table"}},
		"no text":                    {"a = 1\nb = \"\xff\"\n", []string{"f:2: the file is no text"}},
		"too long":                   {strings.Repeat("#", config.MaxSize+1), []string{"f: the file is longer"}},
		"empty":                      {"", nil},
		"unclosed":                   {"a = [1,\nb = 2", []string{"f:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, ms := config.Parse([]byte(c.text))
			got := lines(ms)
			require.GreaterOrEqual(t, len(got), len(c.want), "%q", got)
			for i, want := range c.want {
				assert.True(t, strings.HasPrefix(got[i], want), "%q, want %q", got[i], want)
			}
			if c.want == nil {
				assert.Empty(t, got)
			}
			for _, g := range got {
				assert.NotContains(t, g, "\n")
			}
		})
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"burst", "cores", "eth-peer", "forward", "frames", "log-format", "xconnect"}
	for word, want := range map[string]string{
		"frmaes": "frames", "Forward": "forward", "log_format": "log-format", "core": "cores", "xconect": "xconnect",
		"zzzzzz": "", "": "", "eth-pere": "eth-peer",
	} {
		assert.Equal(t, want, config.Nearest(word, keys), word)
	}
	assert.Contains(t, config.Unknown("zzzzzz", keys), "there are burst, cores")
}

// TestWriteProperties: what is written is read back as it was.
func TestWriteProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`)
		value := rapid.Custom(func(t *rapid.T) config.Value {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				return config.Option(fmt.Sprint(rapid.Int64().Draw(t, "n")))
			case 1:
				return config.Option(rapid.SampledFrom([]string{"on", "off"}).Draw(t, "switch"))
			case 2:
				v := config.Value{Kind: config.List}
				for range rapid.IntRange(1, 3).Draw(t, "items") {
					v.Items = append(v.Items, config.Text(rapid.String().Draw(t, "item")))
				}
				return v
			}
			return config.Text(rapid.String().Draw(t, "text"))
		})
		table := func(label string) (entries []config.Entry) {
			for _, k := range rapid.SliceOfNDistinct(key, 1, 4, rapid.ID[string]).Draw(t, label) {
				if !slices.Contains([]string{config.Port, config.Interface, config.Core}, k) {
					entries = append(entries, config.Entry{Key: k, Value: value.Draw(t, k)})
				}
			}
			return entries
		}
		doc := &config.Document{Entries: table("top")}
		for range rapid.IntRange(0, 3).Draw(t, "ports") {
			doc.Ports = append(doc.Ports, config.Table{Entries: table("port")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "interfaces") {
			doc.Interfaces = append(doc.Interfaces, config.Table{Entries: table("interface")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "cores") {
			doc.Cores = append(doc.Cores, config.Table{Entries: table("core")})
		}
		var a, b bytes.Buffer
		require.NoError(t, doc.Write(&a))
		back, ms := config.Parse(a.Bytes())
		require.Empty(t, ms, a.String())
		require.NoError(t, back.Write(&b))
		require.Equal(t, a.String(), b.String())
		require.Len(t, back.Ports, len(doc.Ports))
		require.Len(t, back.Interfaces, len(doc.Interfaces))
		require.Len(t, back.Cores, len(doc.Cores))
	})
}

// FuzzParse: whatever the file, there is an answer: a document, or a mistake on a
// line that the file has.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "a = 1", "a = [1, [2, {x = 3}]]", "[[port]]\ninterface = \"eth1\"", "[port]", "[[interface]]\nname = \"a\"\naddr = [\"192.0.2.1/24\",\n\"b\"]", "[interface]", "a.b = 1", "a = 1979-05-27", "\xff", "a = \"\"\"\n\n",
		"a = 'x\nb = 1\n", "[[port]]\n[[port.x]]\n", "\"\" = 1", "a = inf", "port = [\"eth1\"]", "a = {b = 1, c = [", "\r\n\r", "= = =\n= = =\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		doc, ms := config.Parse(data)
		if !bytes.Equal(before, data) {
			t.Fatal("the file was changed")
		}
		n := bytes.Count(data, []byte("\n")) + 1
		for _, m := range ms {
			if m.Line < 0 || m.Line > n || m.Text == "" {
				t.Fatalf("%+v of %d lines", m, n)
			}
		}
		if len(ms) > 0 {
			return
		}
		for _, e := range doc.Entries {
			if e.Value.Line < 1 || e.Value.Line > n {
				t.Fatalf("%+v of %d lines", e, n)
			}
		}
		for _, p := range slices.Concat(doc.Ports, doc.Interfaces, doc.Cores) {
			if p.Line < 1 || p.Line > n {
				t.Fatalf("%+v of %d lines", p, n)
			}
		}
	})
}

func ExampleParse() {
	doc, mistakes := config.Parse([]byte("forward = \"mac\"\nburst 64\n\n[[port]]\ninterface = \"eth1\"\n"))
	for _, m := range mistakes {
		fmt.Println(m.String("pmd.toml"))
	}
	if err := doc.Write(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// pmd.toml:2: no TOML: expected '=' after key
	// forward = "mac"
	//
	// [[port]]
	// interface = "eth1"
}

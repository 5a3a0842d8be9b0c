package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/cmd/pmd/internal/config"
	"example.org/pmd/cmd/pmd/internal/ctl"
	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
	"example.org/pmd/pmd"
)

// file writes a file.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "pmd.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const twoPorts = `
[[port]]
driver = "null"
name = "a"

[[port]]
driver = "null"
name = "b"
`

// TestEveryFlagHasAPlaceInTheFile: each flag of pmd run is a key, a file can say of
// it what the command line can, and what is shown is read back.
func TestEveryFlagHasAPlaceInTheFile(t *testing.T) {
	s, err := newSheet()
	require.NoError(t, err)
	fields := 0
	var count func(reflect.Type)
	count = func(typ reflect.Type) {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Anonymous {
				count(f.Type)
			} else {
				fields++
			}
		}
	}
	count(reflect.TypeFor[RunCmd]())
	require.Equal(t, fields-1, len(s.names), "all but --config")
	for _, name := range s.names {
		f := s.flags[name]
		assert.Contains(t, []string{applyLive, applyProcess, applyRestart}, s.class(name), name)
		if name == portKey {
			continue
		}
		text := "17"
		switch {
		case f.Enum != "":
			text = f.EnumSlice()[len(f.EnumSlice())-1]
		case f.Target.Kind() == reflect.Bool:
			text = "true"
		case f.Target.Type() == reflect.TypeFor[time.Duration]():
			text = "1m30s"
		case name == "socket":
			text = "/x/y"
		}
		v := config.Option(text)
		switch f.Target.Kind() {
		case reflect.Bool:
			v = config.Option("on")
		case reflect.Slice:
			v = config.Value{Kind: config.List, Items: []config.Value{config.Text("x,y"), config.Text("z")}}
		case reflect.Float64:
			v = config.Value{Kind: config.Float, Text: "0.5"}
		}
		require.Empty(t, s.set(name, v), "%s: the value cannot be set from a file: teach sheet.set of its type", name)
		got, ok := s.value(name)
		require.True(t, ok, name)
		want := v.String()
		if v.Kind == config.Integer && got.Kind == config.String {
			want = `"` + v.Text + `"`
		}
		assert.Equal(t, want, got.String(), "%s: the value is not shown as it was set: teach sheet.value of its type", name)
		again, err := newSheet()
		require.NoError(t, err)
		require.Empty(t, again.set(name, got), name)
		assert.Equal(t, f.Target.Interface(), again.flags[name].Target.Interface(), name)
	}
}

func TestConfigCheck(t *testing.T) {
	path := file(t, `# every line with a mark is wrong
forward = "fats"        # 2
burst = 0               # 3
frames = "many"         # 4
cores = "1-"            # 5
frmaes = 3              # 6
duration = 30           # 7
xconnect = ["a:b",
  "b:c"]                # 9
json = "yes"            # 10
eth-peer = ["a,02:00:00:00:00:01", "a,zz", 7] # 11, 11
metrics = "nowhere"     # 12
take-management = true

[[port]]
driver = "null"
name = "a"
sise = 64               # 18
copy = "maybe"          # 19

[[port]]
driver = "null"
name = "b"

[[port]]                # 25
driver = "null"
name = "a"

[[port]]
interfac = "eth1"      # 30

[[port]]
interface = "eth1"
mode = "fast"           # 34
rx-ring = 100           # 35
netns = ["x"]           # 36

[[port]]
driver = "floppy"       # 39
[[port]]
interface = "eth1,mode=copy" # 41
[port2]                 # 42
x = 1
`)
	status, stdout, stderr := call("config", "check", path)
	assert.Equal(t, 1, status)
	assert.Equal(t, fmt.Sprintf("pmd: config check: %s: %d mistakes\n", path, strings.Count(stdout, "\n")), stderr)
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		rest, ok := strings.CutPrefix(line, path+":")
		require.True(t, ok, line)
		parts := strings.SplitN(rest, ": ", 3)
		got = append(got, parts[0]+" "+parts[1])
	}
	assert.Equal(t, []string{
		"2 forward", "3 burst", "4 frames", "5 cores", "6 frmaes", "7 duration", "9 xconnect", "10 json", "11 eth-peer", "12 metrics",
		"18 port.sise", "19 port.copy", "25 port", "30 port.interfac", "36 port.netns", "38 port", "41 port.interface", "42 port2",
	}, got, stdout)
	assert.Contains(t, stdout, ":6: frmaes: there is no such key; did you mean frames?")

	status, stdout, _ = call("config", "check", "--json", path)
	assert.Equal(t, 1, status)
	var out struct{ Mistakes []config.Mistake }
	one(t, stdout, &out)
	assert.Len(t, out.Mistakes, len(got))

	status, stdout, stderr = call("config", "check", file(t, "forward = \"mac\"\n"+twoPorts))
	assert.Zero(t, status, stderr)
	assert.Contains(t, stdout, "no mistake")
	status, _, stderr = call("config", "check", "/no/such/file")
	assert.Equal(t, 2, status)
	assert.Contains(t, stderr, "/no/such/file")
	status, stdout, _ = call("config", "check", file(t, "forward = \"mac\"\n"))
	assert.Equal(t, 1, status)
	assert.Contains(t, stdout, "there is no port")
}

// Each mistake in what is said of an interface is told with its line and key.
func TestConfigCheckInterfaces(t *testing.T) {
	path := file(t, `forward = "mac"
[[port]]
driver = "null"
name = "a"

[[interface]]           # 6
name = "c"
mtu = 1400

[[interface]]
name = "a"
mtu = 0                 # 12
lladdr = "01:00:5e:00:00:01" # 13
metric = "7"            # 14
promisc = "on"          # 15
allmulti = true
pollin = false          # 17
addr = [
  "192.0.2.1/24",
  "192.0.2.300/24",     # 20
  "fe80::1%eth0/64",    # 21
  "224.0.0.1/24",       # 22
  7,                    # 23
]
group = "224.0.0.251"   # 25
cap = ["RXCSUM", "+FAST"] # 26, 26

[[interface]]           # 28
mtu = 1400
[[interface]]           # 30
name = "a"
[[interface]]
name = "a"
group = ["192.0.2.1", "10.0.0.1,up=off"] # 34, 34
pollcpu = "1"           # 35
[[interface]]
name = "0"
addr = ["192.0.2.1/24"]
[[interface]]           # 39
name = "a"
metric = 3
[[interface]]
name = "a,b"            # 43
mtu = 9000000000        # 44
up = 1                  # 45
[[interface]]
name = "a"
addr = ["192.0.2.1/24",
  "192.0.2.1/25"]       # 49
group = ["01:00:5e:00:00:05", "01-00-5e-00-00-05"] # 50
`)
	status, stdout, _ := call("config", "check", path)
	assert.Equal(t, 1, status)
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		parts := strings.SplitN(strings.TrimPrefix(line, path+":"), ": ", 3)
		got = append(got, parts[0]+" "+parts[1])
	}
	assert.Equal(t, []string{
		"6 interface", "12 interface.mtu", "13 interface.lladdr", "14 interface.metric", "15 interface.promisc", "17 interface.pollin",
		"20 interface.addr", "21 interface.addr", "22 interface.addr", "23 interface.addr", "25 interface.group", "26 interface.cap", "26 interface.cap",
		"28 interface", "30 interface", "34 interface.group", "34 interface.group", "35 interface.pollcpu", "39 interface",
		"43 interface.name", "44 interface.mtu", "45 interface.up", "49 interface.addr", "50 interface.group",
	}, got, stdout)
	for _, want := range []string{
		`:6: interface: interface "c": there is no port "c"; there are 0 (a)`, ":12: interface.mtu: an mtu of 0 bytes: use 72 to 65535",
		":17: interface.pollin: there is no such key; did you mean polling?", ":39: interface: interface a is given twice",
		":49: interface.addr: address 192.0.2.1 is given twice",
	} {
		assert.Contains(t, stdout, want)
	}
	_, stdout, _ = call("config", "check", file(t, "if = [\"a,mtu=1400\", \"b,fast=1\", \"0,mtu=0\"]\n"+twoPorts+"[[interface]]\nname = \"a\"\nmtu = 1400\n"))
	assert.Contains(t, stdout, `:1: if: "b,fast=1": no setting "fast"`)
	assert.Contains(t, stdout, ":1: if: interface a is given twice")
	assert.Contains(t, stdout, ":10: interface: there is a key if: write one or the other")
}

// TestConfigCheckKnowsEveryDriver: what is wrong with the options of a port is found in a
// file, whichever driver it has, with its line.
func TestConfigCheckKnowsEveryDriver(t *testing.T) {
	for driver, c := range map[string]struct{ needs, key, value string }{
		"afxdp":    {`interface = "eth1"`, "rx-ring", "100"},
		"afpacket": {`interface = "eth1"`, "fanout", `"queue"`},
		"null":     {"rx = true", "content", `"0"`},
		"pcap":     {`rx = "a.pcap"`, "rate", `"fast"`},
		"ring":     {`pair = "x"`, "size", "100"},
		"tap":      {`interface = "tap0"`, "mac", `"zz"`},
	} {
		t.Run(driver, func(t *testing.T) {
			good := fmt.Sprintf("[[port]]\ndriver = %q\n%s\n", driver, c.needs)
			_, stdout, _ := call("config", "check", file(t, good))
			assert.Contains(t, stdout, "no mistake")
			path := file(t, good+fmt.Sprintf("nonsense = 1\n%s = %s\n", c.key, c.value))
			_, stdout, _ = call("config", "check", path)
			assert.Contains(t, stdout, fmt.Sprintf("%s:4: port.nonsense: driver %s has no option \"nonsense\"; it has ", path, driver))
			assert.Contains(t, stdout, fmt.Sprintf("%s:5: port.%s: %s=", path, c.key, c.key))
			assert.Equal(t, 2, strings.Count(stdout, "\n"), stdout)
		})
	}
}

// What no driver has is told of a port of which the driver is not known, too.
func TestConfigCheckPortsWithoutADriver(t *testing.T) {
	for text, want := range map[string][]string{
		"[[port]]\nrx-rng = 64\nmode = \"copy\"\nsiez = 3\n": {
			`1: port.interface: a port needs an interface, as in interface = "eth1", or a driver, as in driver = "null"`,
			"2: port.rx-rng: there is no such key; did you mean rx-ring?", "4: port.siez: there is no such key; did you mean size?",
		},
		"[[port]]\ninterfac = \"eth1\"\nmod = \"copy\"\n": {
			"2: port.interfac: there is no such key; did you mean interface?", "3: port.mod: there is no such key; did you mean mode?",
		},
		"[[port]]\ninterface = 7\nmod = \"copy\"\n":       {"2: port.interface: is an integer: write a string", "3: port.mod: there is no such key; did you mean mode?"},
		"[[port]]\ndriver = \"\"\nloop = true\n":          {"2: port.driver: is empty"},
		"[[port]]\nnetns = [1]\nname = \"a\"\nqueu = 1\n": {`1: port.interface: a port needs`, "2: port.netns: is a list", "4: port.queu: there is no such key; did you mean queue?"},
		"[[port]]\n": {`1: port.interface: a port needs`},
	} {
		path := file(t, text)
		status, stdout, _ := call("config", "check", path)
		assert.Equal(t, 1, status)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		require.Len(t, lines, len(want), stdout)
		for i, line := range lines {
			assert.True(t, strings.HasPrefix(line, path+":"+want[i]), "%s\nwant %s", line, want[i])
		}
	}
}

func TestRunRefusesABadFile(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	path := file(t, "brust = 3\n"+twoPorts)
	status, stdout, stderr := call("run", "--config", path, "--socket", socket)
	assert.Equal(t, 2, status)
	assert.Empty(t, stdout)
	assert.Equal(t, "pmd: run: "+path+":1: brust: there is no such key; did you mean burst?\n", stderr)
	assert.NoFileExists(t, socket)

	// Each mistake has a line.
	path = file(t, "brust = 3\nidle = \"doze\"\n"+twoPorts)
	status, _, stderr = call("run", "--config", path, "--socket", socket)
	assert.Equal(t, 2, status)
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	require.Len(t, lines, 2)
	assert.Contains(t, lines[0], "pmd: run: "+path+":1: brust: ")
	assert.Contains(t, lines[1], "pmd: run: "+path+":2: idle: ")

	// What is no file is a mistake, too, whatever it is.
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		for _, args := range [][]string{{"run", "--config", path}, {"config", "check", path}} {
			status, _, stderr := call(args...)
			assert.Equal(t, 2, status)
			assert.Contains(t, stderr, path)
		}
	}
}

// TestFlagsGoBeforeTheFile: a file says everything, and a flag that is given still
// holds, also one that is given its default.
func TestFlagsGoBeforeTheFile(t *testing.T) {
	path := file(t, "forward = \"macswap\"\nburst = 32\nframes = 2048\nduration = \"1h\"\njson = true\n"+twoPorts)
	c := start(t, "run", "--config", path, "--duration", "100ms", "--burst", "64")
	assert.Zero(t, c.status(), c.stderr.String())
	var s engine.Stats
	one(t, c.stdout.String(), &s)
	assert.Equal(t, "macswap", s.Forward)
	assert.Equal(t, 2048, s.Pools[0].Frames)
	require.Len(t, s.Ports, 2)
	c = start(t, "run", "--config", path, "--duration", "100ms", "--port", "null:name=c", "--forward", "io")
	assert.Zero(t, c.status(), c.stderr.String())
	one(t, c.stdout.String(), &s)
	require.Len(t, s.Ports, 1, "ports of the command line replace those of the file")
	assert.Equal(t, "io", s.Forward)
}

// TestConfigOfARunningProcess goes through show, diff and apply.
func TestConfigOfARunningProcess(t *testing.T) {
	c := start(t, pair...)
	c.up()
	ask := func(args ...string) (int, string, string) {
		return call(append(append([]string{"config"}, args...), "--socket", c.socket)...)
	}
	ok := func(args ...string) string {
		t.Helper()
		status, stdout, stderr := ask(args...)
		require.Zero(t, status, stderr)
		return stdout
	}
	shown := file(t, ok("show"))
	assert.Empty(t, ok("diff", shown), "what is shown is what there is")
	_, stdout, _ := call("config", "check", shown)
	assert.Contains(t, stdout, "no mistake")

	path := file(t, "forward = \"mac\"\nframes = 1024\neth-peer = [\"a,02:00:00:00:00:07\"]\n"+twoPorts+"[[port]]\ndriver = \"null\"\nname = \"c\"\n")
	want := "add port c: null:name=c\nforward: io → mac\npeer of a: default → 02:00:00:00:00:07\nc forwards to c\n"
	assert.Equal(t, want, ok("diff", path))
	assert.Equal(t, want, ok("apply", "--dry-run", path))
	assert.Equal(t, want, ok("apply", path))
	assert.Empty(t, ok("apply", path), "the second time there is nothing to do")
	assert.Empty(t, ok("diff", path))
	again := file(t, ok("show"))
	assert.Empty(t, ok("diff", again))
	_, stdout, _ = call("if", "show", "c", "--socket", c.socket)
	assert.Contains(t, stdout, "forwards to   c")

	// What needs a restart is refused by name, and nothing else is done either.
	path = file(t, "burst = 32\nframes = 1024\nmetrics = \"9464\"\n"+twoPorts)
	status, _, stderr := ask("apply", path)
	assert.Equal(t, 1, status)
	assert.Equal(t, "pmd: nothing was changed: needs a restart: burst: 64 → 32, metrics: unset → \"9464\"\n", stderr)
	assert.Equal(t, "remove port c: null:name=c\nforward: mac → io\npeer of a: 02:00:00:00:00:07 → default\n"+
		"burst: 64 → 32 (needs a restart)\nmetrics: unset → \"9464\" (needs a restart)\n", ok("diff", path))

	// Interfaces: what the commands change is shown, and a file changes it back.
	for _, args := range [][]string{
		{"set", "a", "mtu", "1400", "metric", "7", "promisc", "on", "down"}, {"addr", "add", "a", "192.0.2.1/24"}, {"addr", "add", "a", "2001:db8::1/64"},
		{"join", "a", "224.0.0.251"}, {"set", "b", "lladdr", "02:00:00:00:00:0b", "allmulti", "on", "polling", "off"},
	} {
		status, _, stderr := call(append(append([]string{"if"}, args...), "--socket", c.socket)...)
		require.Zero(t, status, stderr)
	}
	ours := ok("show")
	assert.Contains(t, ours, `
[[interface]]
name = "a"
up = false
mtu = 1400
metric = 7
promisc = true
addr = ["192.0.2.1/24", "2001:db8::1/64"]
group = ["224.0.0.251"]

[[interface]]
name = "b"
lladdr = "02:00:00:00:00:0b"
allmulti = true
polling = false
`)
	mine := file(t, ours)
	_, stdout, _ = call("config", "check", mine)
	assert.Contains(t, stdout, "no mistake")
	assert.Empty(t, ok("apply", mine), "what is shown is what there is")
	back := ok("apply", again)
	assert.Contains(t, back, "interface a: up=off mtu=1400 metric=7 promisc=on addr=192.0.2.1/24 addr=2001:db8::1/64 group=224.0.0.251 → up=on mtu=")
	assert.Contains(t, back, " metric=0 promisc=off\ninterface b: lladdr=02:00:00:00:00:0b allmulti=on polling=off → lladdr=")
	assert.Equal(t, 2, strings.Count(back, "\n"), back)
	assert.Empty(t, ok("diff", again))
	assert.Equal(t, 2, strings.Count(ok("apply", mine), "\n"))
	assert.Equal(t, ours, ok("show"))
	ok("apply", again)

	// A device that does not open: all is as it was.
	path = file(t, "frames = 1024\nforward = \"macswap\"\n"+twoPorts+"[[port]]\ninterface = \"nosuchif0\"\n")
	status, _, stderr = ask("apply", path)
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "nosuchif0")
	assert.Contains(t, stderr, "what had been done is undone")
	assert.Empty(t, ok("diff", again))

	status, _, stderr = ask("apply", file(t, "nonsense = 1\n"))
	assert.Equal(t, 2, status)
	assert.Contains(t, stderr, "nonsense")
	var applied ctl.Applied
	one(t, ok("apply", "--json", file(t, "frames = 1024\n"+twoPorts)), &applied)
	assert.True(t, applied.Applied)
	assert.Len(t, applied.Changes, 3)
	c.up()
	status, _, stderr = call("stop", "--socket", c.socket)
	assert.Zero(t, status, stderr)
	assert.Zero(t, c.status(), c.stderr.String()) // the summary comes after the socket has gone
	assert.Contains(t, c.stdout.String(), "all 1,024 frames accounted for")
}

// TestShownConfigurationIsTheRunningOne: whatever runs, show, check and diff agree.
func TestShownConfigurationIsTheRunningOne(t *testing.T) {
	end := time.Now().Add(1500 * time.Millisecond)
	rapid.Check(t, func(t *rapid.T) {
		if time.Now().After(end) {
			return
		}
		s, err := newSheet()
		require.NoError(t, err)
		c := s.cmd
		if frames := 256 << rapid.IntRange(0, 2).Draw(t, "frames"); frames < 1024 {
			c.Frames = &frames
		}
		c.Burst = rapid.IntRange(1, 256).Draw(t, "burst")
		c.Forward = rapid.SampledFrom([]string{"io", "mac", "macswap", "rxonly"}).Draw(t, "mode")
		c.TakeManagement = rapid.Bool().Draw(t, "take")
		for i, n := 0, rapid.IntRange(1, 4).Draw(t, "ports"); i < n; i++ {
			spec := rapid.SampledFrom([]string{
				"null:", "null:size=100,copy=on,name=", "ring:loop=on,size=64,name=", "null:queues=2,content=00ff,rx=off,name=", "null:name=",
			}).Draw(t, "port")
			if strings.HasSuffix(spec, "name=") {
				spec += rapid.StringMatching(`[a-z~!#&0-9]{1,5}`).Draw(t, "name") + fmt.Sprint(i)
			}
			c.Port = append(c.Port, spec)
		}
		if rapid.Bool().Draw(t, "peer") {
			c.EthPeer = []string{"0,02:00:00:00:00:09"}
		}
		if rapid.Bool().Draw(t, "link") {
			c.Xconnect = []string{fmt.Sprintf("0:%d", len(c.Port)-1)}
		}
		// One core, so that the others of the machine are left alone.
		topo, err := cpu.Local()
		if err != nil {
			return // no CPUs to name here
		}
		id := topo.Allowed.And(topo.Online).Min()
		c.Cores = fmt.Sprint(id)
		if rapid.Bool().Draw(t, "interface") {
			c.If = []string{fmt.Sprintf("%d,up=%s,mtu=%d,addr=10.0.0.%d/24,addr=2001:db8::/127,group=224.0.0.%d", rapid.IntRange(0, len(c.Port)-1).Draw(t, "of"),
				rapid.SampledFrom([]string{"on", "off"}).Draw(t, "up"), rapid.IntRange(100, 1500).Draw(t, "mtu"), rapid.IntRange(0, 254).Draw(t, "addr"), rapid.IntRange(0, 255).Draw(t, "group"))}
		}
		if rapid.Bool().Draw(t, "core") {
			c.Core = []string{fmt.Sprintf("%d,burst_max=%d", id, rapid.IntRange(256, 400).Draw(t, "burst_max"))}
		}
		cfg, err := c.config()
		require.NoError(t, err)
		cfg.Confine = false
		eng, err := engine.Start(context.Background(), cfg)
		require.NoError(t, err)
		defer func() { eng.Stop(); require.NoError(t, eng.Wait()) }()
		r, err := newRunning(c, eng, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		text, err := r.ShowConfig(context.Background())
		require.NoError(t, err)
		_, mistakes, err := readConfig([]byte(text), nil)
		require.NoError(t, err)
		require.Empty(t, mistakes, text)
		changes, err := r.ApplyConfig(context.Background(), text, true)
		require.NoError(t, err, text)
		require.Empty(t, changes, text)
		if rapid.Bool().Draw(t, "tuned at run time") {
			ctx := context.Background()
			hz, idle := rapid.IntRange(100, 3000).Draw(t, "pollhz"), dataplane.Idle(rapid.SampledFrom(dataplane.IdlePolicies()).Draw(t, "idle"))
			_, err := eng.SetPolling(ctx, fmt.Sprint(id), dataplane.PollSettings{PollHz: &hz, Idle: &idle})
			require.NoError(t, err)
			_, err = eng.SetPollCPU(ctx, eng.Ports()[0].Name, fmt.Sprint(id))
			require.NoError(t, err)
			cores, err := eng.PollCores(ctx)
			require.NoError(t, err)
			later, err := r.ShowConfig(context.Background())
			require.NoError(t, err)
			require.Contains(t, later, fmt.Sprintf("pollcpu = \"%d\"", id))
			if hz != dataplane.DefaultPollHz {
				require.Contains(t, later, fmt.Sprintf("pollhz = %d\n", hz))
			}
			_, mistakes, err := readConfig([]byte(later), nil)
			require.NoError(t, err)
			require.Empty(t, mistakes, later)
			changes, err = r.ApplyConfig(ctx, later, true)
			require.NoError(t, err)
			require.Empty(t, changes, later)
			// To what it was and back: all of it is live.
			_, err = r.ApplyConfig(ctx, text, false)
			require.NoError(t, err)
			now, err := r.ShowConfig(context.Background())
			require.NoError(t, err)
			require.Equal(t, text, now)
			_, err = r.ApplyConfig(ctx, later, false)
			require.NoError(t, err)
			again, err := eng.PollCores(ctx)
			require.NoError(t, err)
			require.Equal(t, cores[0].PollConfig, again[0].PollConfig)
			_, err = r.ApplyConfig(ctx, text, false)
			require.NoError(t, err)
		}
		if rapid.Bool().Draw(t, "mode changed at run time") {
			require.NoError(t, eng.SetMode(context.Background(), "mac", nil))
			later, err := r.ShowConfig(context.Background())
			require.NoError(t, err)
			require.Contains(t, later, `forward = "mac"`)
			changes, err = r.ApplyConfig(context.Background(), text, false)
			require.NoError(t, err)
			require.Equal(t, c.Forward, eng.Mode(), "apply takes what show had printed: %v", changes)
		}
	})
}

// Options of modes change with a file while frames flow, and are shown as they are.
func TestConfigChangesOptions(t *testing.T) {
	c := &RunCmd{Port: []string{"null:name=a,rx=off"}, Forward: "io", Burst: 64, Idle: "adaptive"}
	cfg, err := c.config()
	require.NoError(t, err)
	cfg.Confine, cfg.Unpinned = false, 1
	eng, err := engine.Start(context.Background(), cfg)
	require.NoError(t, err)
	defer func() { eng.Stop(); require.NoError(t, eng.Wait()) }()
	r, err := newRunning(c, eng, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, eng.SetMode(context.Background(), "txonly", []byte(`{"tx_size":"imix","tx_rate":100,"ip_src":"192.0.2.1"}`)))
	text, err := r.ShowConfig(context.Background())
	require.NoError(t, err)
	for _, line := range []string{`forward = "txonly"`, `tx-size = "imix"`, `tx-rate = 100`, `ip-src = "192.0.2.1"`} {
		require.Contains(t, text, line)
	}
	changes, err := r.ApplyConfig(context.Background(), text, false)
	require.NoError(t, err)
	require.Empty(t, changes)
	changes, err = r.ApplyConfig(context.Background(), strings.Replace(text, "tx-rate = 100", "tx-rate = 200", 1), false)
	require.NoError(t, err)
	require.Len(t, changes, 1)
	require.Equal(t, "options of modes: --tx-size imix --tx-rate 100 --ip-src 192.0.2.1 → --tx-size imix --tx-rate 200 --ip-src 192.0.2.1", changes[0].Text)
	require.EqualValues(t, 200, eng.Forwarding().Options.TxRate)
}

// FuzzConfigFile: whatever the file, mistakes are told, or there is a command that
// the engine takes.
func FuzzConfigFile(f *testing.F) {
	for _, s := range []string{
		twoPorts, "forward = \"mac\"" + twoPorts, "port = [\"null:\", 3, \"\"]", "xconnect = [\"0:0\", \"0:0\"]" + twoPorts,
		"burst = 1e9\ncores = 1\n[[port]]\n", "[[port]]\ndriver = \"null\"\nsize = \"1,name=x\"", "[[port]]\ninterface = \"a:b\"", "eth-peer = [\"\"]",
		twoPorts + "[[interface]]\nname = \"a\"\nup = false\nmtu = 1_400\naddr = [\"192.0.2.1\", \"2001:DB8::1/64\"]\ngroup = [\"ff02::1\"]\ncap = [\"+RXCSUM\"]",
		"if = [\"a,mtu=1,addr=\", \"0\"]" + twoPorts, "if = [\"a,lladdr=2-0-0-0-0-1,addr=10.0.0.1/8 peer 10.0.0.2\"]" + twoPorts,
		"[[port]]\ndriver = \"ring\"\npollcpu = \"1,loop=on\"", "frames = 9223372036854775808", "log-format = \"xml\"\nlog-level = true",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, mistakes, err := readConfig(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mistakes {
			if m.Text == "" || strings.Contains(m.String("f"), "\n") {
				t.Fatalf("%+v", m)
			}
		}
		if len(mistakes) > 0 {
			return
		}
		cfg, err := s.cmd.config()
		if err != nil {
			t.Fatalf("no mistake was told, but: %v", err)
		}
		doc, err := s.document()
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := doc.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, mistakes, err := readConfig([]byte(b.String()), nil)
		if err != nil || len(mistakes) > 0 {
			t.Fatalf("%v %v\n%s", err, mistakes, b.String())
		}
		other, err := again.cmd.config()
		if err != nil {
			t.Fatal(err)
		}
		if a, b := specStrings(cfg.Ports), specStrings(other.Ports); !reflect.DeepEqual(a, b) {
			t.Fatalf("%q became %q", a, b)
		}
		if a, b := fmt.Sprint(cfg.Interfaces), fmt.Sprint(other.Interfaces); a != b {
			t.Fatalf("%s became %s", a, b)
		}
	})
}

func specStrings(specs []pmd.Spec) (out []string) {
	for _, s := range specs {
		out = append(out, s.String())
	}
	return out
}

func TestConfigCheckJSONOfAGoodFile(t *testing.T) {
	status, stdout, stderr := call("config", "check", "--json", file(t, twoPorts))
	assert.Zero(t, status, stderr)
	assert.True(t, json.Valid([]byte(stdout)))
	assert.Equal(t, "{\"mistakes\":[]}\n", stdout)
}

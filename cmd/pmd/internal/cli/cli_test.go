package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/cmd/pmd/internal/app"
)

// call runs a command in this process.
func call(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = Main(args, &app.App{Stdout: &out, Stderr: &err, Exit: func(int) { panic("exit") }})
	return status, out.String(), err.String()
}

// shortDir is a directory whose path leaves room for a socket.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pmd")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestExitStatus(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "s")
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	live := filepath.Join(dir, "live")
	l, err := net.Listen("unix", live)
	require.NoError(t, err)
	defer l.Close()

	two := "run --socket SOCKET --port null:name=a --port null:name=b "
	for line, want := range map[string]struct {
		status int
		say    string
	}{
		"run":                     {2, "for example: pmd run --port eth1 --port eth2"},
		"run extra":               {2, "unexpected argument extra"},
		"bogus":                   {2, "unexpected argument bogus"},
		"stats --nope":            {2, "unknown flag --nope; see \"pmd stats --help\""},
		"if":                      {2, "expected one of"},
		"if set eth1":             {2, "<settings>"},
		"if set eth1 mtu":         {2, "mtu: a value is missing"},
		"if set eth1 mtu nine":    {2, `mtu: "nine": use a number`},
		"if set eth1 speed 9":     {2, `no setting "speed"; there are up, down, mtu`},
		"if set eth1 up down":     {2, "down is given twice"},
		"if set eth1 up=1":        {2, "up takes no value"},
		"if set eth1 promisc yes": {2, `promisc: "yes": use on or off`},
		"if set eth1 cap RXCSUM":  {2, "write + or - and a capability"},
		"if set eth1 cap -RXCSUM --socket SOCKET":                           {1, "no pmd answers"},
		"if set eth1 down mtu 1400 cap +RXCSUM cap -TXCSUM --socket SOCKET": {1, "no pmd answers"},
		"if addr add eth1 10.0.0.1/24 10.0.0.2":                             {2, "write peer and an address"},
		"if addr add eth1 10.0.0.1/24 peer 10.0.0.2 --socket SOCKET":        {1, "no pmd answers"},
		"if addr del eth1 10.0.0.1 --socket SOCKET":                         {1, "no pmd answers"},
		"if join eth1 224.0.0.251 --socket SOCKET":                          {1, "no pmd answers"},
		"if leave eth1 224.0.0.251 --socket SOCKET":                         {1, "no pmd answers"},
		"if create ring loop":                                               {2, `"loop": write KEY=VALUE`},
		"if create ring loop=on loop=off":                                   {2, "each key once"},
		"if create ring loop=on --socket SOCKET":                            {1, "no pmd answers"},
		"if destroy ring0 --socket SOCKET":                                  {1, "no pmd answers"},
		"if kinds --socket SOCKET":                                          {1, "no pmd answers"},
		"monitor --socket SOCKET":                                           {1, "no pmd answers"},
		"run --port null: --socket SOCKET --socket-group no-such-group":     {2, "there is no such group"},
		"run --port null:name=a:b":                                          {2, "give it another name="},
		"if set eth1 pollcpu 1 --socket SOCKET":                             {1, "no pmd answers"},
		two + "--idle doze":                                                 {2, `"spin","adaptive","interrupt"`},
		"core set":                                                          {2, "<setting>"},
		"core set 1 burst_max":                                              {2, `no setting "1"`},
		"core set burst_max many":                                           {2, "burst_max many: use a number"},
		"core set 1 burst 5":                                                {2, `no setting "burst"; there are enable, pollhz`},
		"core set burst_max 9 burst_max 10":                                 {2, "burst_max is given twice"},
		"core set idle spin --socket SOCKET":                                {1, "no pmd answers"},
		"core show --socket SOCKET":                                         {1, "no pmd answers"},
		"core show 1 --socket SOCKET":                                       {1, "no pmd answers"},
		"forward":                                                           {2, "expected one of"},
		"forward set":                                                       {2, "<mode>"},
		"forward set fast":                                                  {2, `"io","mac","macswap","noisy"`},
		"doctor --cores 1-":                                                 {2, "--cores"},
		"doctor --cores 8191":                                               {2, "--cores: CPU 8191 does not exist"},
		"doctor eth1 eth1":                                                  {2, `"eth1" is named twice`},
		"doctor --netns":                                                    {2, "--netns"},
		"completion tcsh":                                                   {2, `"bash","zsh","fish"`},
		"stats --interval 1ms":                                              {2, "use 10ms or more"},
		"stats --interval soon":                                             {2, "soon"},
		"stats --count=-1":                                                  {2, "--count -1"},
		"stop --timeout=-1s":                                                {2, "--timeout -1s"},
		two + "--forward fast":                                              {2, `"io","mac","macswap","noisy"`},
		two + "--metrics x":                                                 {2, `--metrics: metrics address "x"`},
		two + "--metrics 256.0.0.1:1":                                       {1, "256.0.0.1"},
		two + "--log-format xml":                                            {2, `"text","json"`},
		two + "--burst 0":                                                   {2, "use 1 to 256"},
		two + "--burst 257":                                                 {2, "use 1 to 256"},
		two + "--frames 0":                                                  {2, "use 64 to 4194304"},
		"run --port null:pollcpu=x":                                         {2, "a CPU id is a number"},
		"run --port null:pollcpu=9999999":                                   {2, "a CPU id is a number"},
		"run --port null:pollcpu=8191":                                      {2, "pollcpu=8191: CPU 8191"},
		"run --port null:pollcpu=0 --cores 1":                               {2, "pollcpu=0: CPU 0 is not polled on, 1 is"},
		two + "--frames 63":                                                 {2, "64 to 4194304"},
		two + "--cores 1-":                                                  {2, "--cores"},
		two + "--cores 8191":                                                {2, "CPU 8191 does not exist: choose from"},
		two + "--cores 0,99999":                                             {2, "number from 0 to 8191"},
		two + "--duration=-1s":                                              {2, "--duration -1s"},
		two + "--xconnect 0:9":                                              {2, `no port "9"`},
		two + "--eth-peer 0,zz":                                             {2, `"zz" is not an Ethernet address`},
		two + "--port null:name=a":                                          {2, "given twice"},
		"run --port null:x=1 --socket SOCKET":                               {2, `driver null has no option "x"; it has`},
		"run --port null:size=1 --socket SOCKET":                            {2, "size=1"},
		"run --port foo:x=1 --socket SOCKET":                                {2, `no driver "foo"; there are afpacket, afxdp, null`},
		"run --port ,x --socket SOCKET":                                     {2, "begin with an interface"},
		"run --port null:a --socket SOCKET":                                 {2, "has no interface"},
		"run --port nosuchif0 --socket SOCKET":                              {1, "nosuchif0"},
		"run --port null: --socket FILE":                                    {2, "is no socket"},
		"run --port null: --socket LIVE":                                    {1, "pmd stop --socket"},
		"run --port null: --socket /no/such/dir":                            {1, "no such file or directory"},
		"stats --socket SOCKET":                                             {1, `no pmd answers on SOCKET: start one with "pmd run"`},
		"stats --clear --json --socket SOCKET":                              {1, "no pmd answers"},
		"if show --socket SOCKET":                                           {1, "no pmd answers"},
		"if show eth1 --socket SOCKET":                                      {1, "no pmd answers"},
		"forward show --socket SOCKET":                                      {1, "no pmd answers"},
		"forward set io --socket SOCKET":                                    {1, "no pmd answers"},
		"stop --socket SOCKET":                                              {1, "no pmd answers"},
		"stats --socket FILE":                                               {1, "FILE"},
		"version extra":                                                     {2, "unexpected argument"},
		"stats --interval 1s --json=maybe":                                  {2, "--json"},
		"run --port null: --take-management=what":                           {2, "--take-management"},
	} {
		t.Run(line, func(t *testing.T) {
			fill := strings.NewReplacer("SOCKET", socket, "FILE", file, "LIVE", live).Replace
			status, stdout, stderr := call(strings.Fields(fill(line))...)
			assert.Equal(t, want.status, status, stderr)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, fill(want.say))
			assert.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %s", stderr)
			assert.True(t, strings.HasPrefix(stderr, "pmd: "), stderr)
			assert.NoFileExists(t, socket, "nothing is left behind")
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"run", "--help"}, {"if", "show", "-h"}, {"completion", "--help"}} {
		status, stdout, stderr := call(args...)
		assert.Equal(t, 0, status)
		assert.Contains(t, stdout, "Usage: pmd")
		assert.Empty(t, stderr)
	}
	_, stdout, _ := call()
	for _, c := range []string{"run", "demo", "stats", "if show", "if set", "if addr add", "if addr del", "if join", "if leave", "if create", "if destroy", "if kinds", "monitor", "core show", "core set", "forward show", "forward set", "config show", "config check", "config diff", "config apply", "stop", "version", "completion", "doctor"} {
		assert.Contains(t, stdout, "\n  "+c+" ")
	}
}

func TestVersion(t *testing.T) {
	status, stdout, _ := call("version")
	assert.Equal(t, 0, status)
	assert.True(t, strings.HasPrefix(stdout, "pmd "))
	status, stdout, _ = call("version", "--json")
	assert.Equal(t, 0, status)
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	for _, k := range []string{"version", "revision", "go", "os", "arch"} {
		assert.Contains(t, v, k)
	}
}

func TestSocketFromTheEnvironment(t *testing.T) {
	t.Setenv("PMD_SOCKET", "/no/such/place")
	status, _, stderr := call("stats")
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "/no/such/place")
	_, _, stderr = call("stats", "--socket", "/other")
	assert.Contains(t, stderr, "/other", "the flag goes before")
}

func TestTakeManagementReachesGuardedPortsOnly(t *testing.T) {
	c := RunCmd{Port: []string{"eth1", "null:", "eth2,take-management=off", "afpacket:eth3", "tap:tap0"}, TakeManagement: true, Burst: 64, Forward: "io"}
	cfg, err := c.config()
	require.NoError(t, err)
	assert.Equal(t, "on", cfg.Ports[0].Options["take-management"])
	assert.NotContains(t, cfg.Ports[1].Options, "take-management")
	assert.Equal(t, "on", cfg.Ports[3].Options["take-management"])
	assert.NotContains(t, cfg.Ports[4].Options, "take-management")
	assert.Equal(t, "off", cfg.Ports[2].Options["take-management"], "what a port says itself holds")
}

func ExampleMain() {
	status := Main([]string{"run"}, &app.App{Stdout: os.Stdout, Stderr: os.Stdout})
	fmt.Println("status", status)
	// Output:
	// pmd: run: no port: name at least one with --port, for example: pmd run --port eth1 --port eth2
	// status 2
}

func TestDoctor(t *testing.T) {
	status, stdout, stderr := call("doctor", "nosuchif0")
	assert.Equal(t, 1, status)
	assert.Contains(t, stdout, "\ninterface nosuchif0\n  problem ")
	assert.NotContains(t, stdout, "\x1b")
	assert.Regexp(t, `^pmd: doctor: \d+ of \d+ findings are problems\n$`, stderr)

	status, stdout, _ = call("doctor", "--json", "nosuchif0")
	assert.Equal(t, 1, status)
	var report struct {
		OK       bool
		Findings []struct {
			Area, Subject, Status, Text string
			Commands                    []string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	assert.False(t, report.OK)
	last := report.Findings[len(report.Findings)-1]
	assert.Equal(t, "nosuchif0", last.Subject)
	assert.Equal(t, "problem", last.Status)
	assert.NotNil(t, last.Commands)
}

package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A value out of range is a mistake of the user, told in one line with the flag
// and what it may be; nothing is left behind.
func TestModeFlagMistakes(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	for flags, want := range map[string]string{
		"--tx-size 20":                    "--tx-size 20: use 60 to 9216 bytes, or imix",
		"--tx-size huge":                  "--tx-size huge: use 60 to 9216 bytes, or imix",
		"--tx-rate 2000000000":            "--tx-rate 2000000000: use 1 to 1000000000",
		"--tx-flows=-1":                   "--tx-flows -1: use 1 to 1048576",
		"--csum mend":                     "--csum mend: use verify, rewrite or offload",
		"--ip-src 192.0.2.1 --ip-dst ::1": "--ip-dst ::1: use an address of the kind of --ip-src",
		"--ip-src 192.0.2":                "--ip-src 192.0.2: use an IPv4 or IPv6 address",
		"--eth-peer zz":                   `peer "zz": write a MAC`,
		"--noisy-lkup-memory 5000":        "--noisy-lkup-memory 5000: use 0 to 4096",
		// What suits is known only once ports and cores are.
		"-f noisy --noisy-tx-sw-buffer-size 9000": "--noisy-tx-sw-buffer-size 9000: use 0 to 8192",
		"-f txonly --tx-size 4000":                "--tx-size 4000: use at most 1792",
	} {
		t.Run(flags, func(t *testing.T) {
			args := append([]string{"run", "--socket", socket, "--port", "null:name=a", "--port", "null:name=b"}, strings.Fields(flags)...)
			status, stdout, stderr := call(args...)
			assert.Equal(t, ExitUsage, status, stderr)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, want)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %s", stderr)
			assert.NoFileExists(t, socket)
		})
	}
}

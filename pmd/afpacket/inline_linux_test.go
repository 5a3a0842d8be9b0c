package afpacket

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What is called for each frame or block has to stay small enough for the compiler to
// inline.
func TestHotFunctionsInline(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go command")
	}
	out, err := exec.Command(tool, "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Skipf("go build does not work here: %v: %s", err, out)
	}
	for _, name := range []string{"(*rxRing).header2", "(*rxRing).block", "(*rxRing).release", "(*sender).set"} {
		assert.Contains(t, string(out), "can inline "+name+"\n")
	}
}

//go:build unix

package gate

import (
	"os/exec"
	"syscall"
	"time"
)

// group makes a command a group of processes of its own, so that a Ctrl-C at the terminal
// reaches it once, through its context: the whole group is then asked to end, and killed
// if it has not after some seconds.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
}
